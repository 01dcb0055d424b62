"""The fence: which process owns which buckets. The newest claim wins; who lost one finds out at its next commit."""

import os
import socket
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, NamedTuple

import psycopg
import structlog

from contracts.ids import BUCKETS
from stream import queries
from stream.connecting import connect

log = structlog.get_logger()


class Span(NamedTuple):
    """Buckets ``first`` … ``last``, both included."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """Name of the partition that owns them; sorts by bucket."""
        return f"{self.first:02}-{self.last:02}"

    @property
    def buckets(self) -> range:
        """Its buckets."""
        return range(self.first, self.last + 1)


CONNECT_TIMEOUT_S: Final = 5
APPLICATION: Final = "shelfpulse-stream-fence"
HOLDER_S: Final = 20.0
"""How long the epoch of who has a claim is waited for."""
ALL: Final = Span(0, BUCKETS - 1)
"""The span of a stream of one process."""


class Fence(NamedTuple):
    """A claim that was taken: valid while the database still has this generation for it."""

    partition: str
    generation: int


class Standing(Enum):
    """What the database says of a claim."""

    HELD = auto()
    LOST = auto()
    UNKNOWN = auto()
    """The database is away."""


def spans(processes: int) -> list[Span]:
    """Buckets of each of ``processes`` processes, as even as it goes."""
    assert 1 <= processes <= BUCKETS
    edges = [BUCKETS * process // processes for process in range(processes + 1)]
    return [Span(edges[process], edges[process + 1] - 1) for process in range(processes)]


def bucket_of_site(tenant: str, site: str) -> int:
    """The bucket whose owner decides for a site as a whole; its gateways may be in any."""
    return zlib.crc32(f"{tenant}/{site}".encode()) % BUCKETS


def span_of(name: str) -> Span:
    """The inverse of ``Span.name``."""
    first, _, last = name.partition("-")
    return Span(int(first), int(last))


def overlapping(names: Iterable[str], span: Span) -> list[str]:
    """Names of other claims that share a bucket with ``span``: of a deployment with more or fewer processes."""
    others = [(name, span_of(name)) for name in names if name != span.name]
    return [name for name, other in others if other.first <= span.last and span.first <= other.last]


def take(dsn: str, span: Span, holder_s: float = HOLDER_S) -> Fence:
    """Take these buckets from whoever has them. Raises psycopg.Error.

    An owner's epoch is waited for. One that takes longer than ``holder_s`` is that of a process which was stopped in
    the middle of it: its connection is ended, and should it go on, it finds out.
    """
    owner = f"{socket.gethostname()}/{os.getpid()}"
    with connect(dsn, APPLICATION) as connection, _impatient(dsn, connection.info.backend_pid, holder_s):
        connection.execute(queries.FENCE_LOCK)
        names = [name for (name,) in connection.execute(queries.FENCE_RANGES)]
        connection.execute(queries.FENCE_RAISE, {"partitions": overlapping(names, span)})
        row = connection.execute(queries.FENCE_TAKE, {"partition": span.name, "owner": owner}).fetchone()
        assert row is not None
        return Fence(span.name, row[0])


@contextmanager
def _impatient(dsn: str, waiting: int, holder_s: float) -> Iterator[None]:
    """End the epochs that backend ``waiting`` waits for, every ``holder_s``."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(holder_s):
            try:
                with connect(dsn, APPLICATION, autocommit=True, connect_timeout_s=CONNECT_TIMEOUT_S) as connection:
                    ended = connection.execute(queries.FENCE_HOLDERS_END, {"waiting": waiting}).fetchall()
            except psycopg.Error as error:
                log.warning("fence_awaited", error=str(error).strip())
            else:
                log.warning("fence_awaited", epochs_ended=len(ended))

    thread = threading.Thread(target=watch, name="fence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def standing(dsn: str, fence: Fence) -> Standing:
    """Whether a claim still holds, asked on a connection of its own."""
    try:
        with connect(dsn, APPLICATION, connect_timeout_s=CONNECT_TIMEOUT_S) as connection:
            row = connection.execute(queries.FENCE_GENERATION, {"partition": fence.partition}).fetchone()
    except psycopg.Error:
        return Standing.UNKNOWN
    return Standing.HELD if row is not None and row[0] == fence.generation else Standing.LOST
