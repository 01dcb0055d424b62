"""Connections to the database of a process that must not wait for ever.

When the network between us breaks without a word, or the server's machine is gone, the system would wait for an answer
for two hours, and with it the epoch and every lane.
"""

from typing import Any, Final

import psycopg

CONNECT_TIMEOUT_S: Final = 10
KEEPALIVES: Final[dict[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}
"""The machine of a server that is slow, or waits for a lock, answers these; of one that is gone nobody does."""


def connect(
    dsn: str, application: str, *, autocommit: bool = False, connect_timeout_s: int = CONNECT_TIMEOUT_S, **more: Any
) -> psycopg.Connection:
    """Connect to ``dsn`` (a libpq URL), which is noticed to be gone within 20 s. Raises psycopg.Error.

    ``application`` names us in pg_stat_activity; ``more`` goes to psycopg.
    """
    return psycopg.connect(
        dsn,
        autocommit=autocommit,
        application_name=application,
        connect_timeout=connect_timeout_s,
        **KEEPALIVES,
        **more,
    )
