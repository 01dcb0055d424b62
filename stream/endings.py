"""How an execution of the stream ends without a fault of ours."""


class StoppedError(Exception):
    """We were told to stop while the database was away: nothing of this epoch is acknowledged."""


class DatabaseAwayError(Exception):
    """The database stayed away for longer than ``patience_s``."""
