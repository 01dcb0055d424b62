"""The one exception that a command line shows to its user as a single line."""


class UserError(Exception):
    """Something that the user can mend: a bad option, file, address or configuration.

    The command line prints ``error: {message}`` and, when there is one, ``hint: {hint}`` on stderr, and exits
    with ``code`` (2 unless told), never with a traceback. Adapters raise it ``from`` the library's own error.
    """

    def __init__(self, message: str, hint: str = "", *, code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
