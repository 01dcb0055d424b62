"""What SQLite's errors mean to the outbox."""

import sqlite3
from typing import Final

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL: Final = frozenset({
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN
})  # fmt: skip
_PRIMARY: Final = 0xFF
"""SQLite's extended error codes have the primary one in their lowest byte."""


class OutboxFullError(Exception):
    """The file cannot be written now (disk full, file size limit, read-only file system)."""


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk is at fault, and the same may work later."""
    return _code(error) in _FULL


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file is no database, or one that contradicts itself."""
    return _code(error) in _CORRUPT


def corruption(verdict: str) -> sqlite3.DatabaseError:
    """The error that SQLite would raise for what a check has found."""
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY
