"""The one exception of updates."""


class UpdateError(Exception):
    """A release is not taken; the text says why, for people. The running one is untouched."""
