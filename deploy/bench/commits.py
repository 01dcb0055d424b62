"""When each epoch became visible: seen from outside, as a reader of the database sees it."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from contracts.facts import LIVE_CHANNEL
from stream import storage
from stream.storage import Connection

POLL_S: Final = 0.25
OVERTAKEN_BATCHES: Final = 5_000
"""Of several processes' epochs the one that numbered its batches first may commit last: so far back we look again."""
FRESH: Final = """
    SELECT xmin::text::bigint, max(batch_id), sum(readings)::bigint FROM ingest_batch
    WHERE batch_id > %(last)s GROUP BY 1 ORDER BY 2
"""
LAST_BATCH: Final = "SELECT coalesce(max(batch_id), 0) FROM ingest_batch"
# Plain devices have no lanes, so no ledger: their epochs show in the digests alone. Of two epochs between two looks the
# later one stands for both.
FRESH_PLAIN: Final = """
    SELECT max(xmin::text::bigint), sum(readings)::bigint, (sum(readings) - %(last)s)::bigint FROM ingest_digest
    HAVING sum(readings) > %(last)s
"""
LAST_PLAIN: Final = "SELECT coalesce(sum(readings), 0)::bigint FROM ingest_digest"
TIMES: Final = "COPY (SELECT xmin::text::bigint, time FROM reading WHERE time >= '{since}') TO STDOUT (FORMAT BINARY)"
_PG_EPOCH_S: Final = 946_684_800
_ROW: Final = np.dtype(
    [("fields", ">i2"), ("xid_bytes", ">i4"), ("xid", ">i8"), ("time_bytes", ">i4"), ("time", ">i8")]
)
_HEADER_BYTES: Final = 19
_TRAILER_BYTES: Final = 2


class Commit(NamedTuple):
    """An epoch's transaction, when it was seen (seconds since 1970) and how many readings it brought."""

    xid: int
    at_s: float
    readings: int


@dataclass
class _Seen:
    commits: list[Commit]
    readings: int = 0


class CommitWatch:
    """Listens for epochs from a thread of its own and notes when each is visible. A context manager.

    ``plain``: the readings are those of plain devices.
    """

    def __init__(self, dsn: str, *, plain: bool = False) -> None:
        self._fresh = FRESH_PLAIN if plain else FRESH
        self._connection = storage.connect(dsn, application="shelfpulse bench watch")
        row = self._connection.execute((LAST_PLAIN if plain else LAST_BATCH).encode()).fetchone()
        assert row is not None
        self._last = self._first = int(row[0])
        self._overtaken = 0 if plain else OVERTAKEN_BATCHES
        self._xids: set[int] = set()
        self._seen = _Seen([])
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commit-watch", daemon=True)

    def __enter__(self) -> Self:
        """Start to listen."""
        self._connection.execute(f"LISTEN {LIVE_CHANNEL}".encode())
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop, and give the connection back."""
        self._stopping.set()
        self._thread.join()
        self._connection.close()

    @property
    def commits(self) -> list[Commit]:
        """All epochs seen so far."""
        with self._changed:
            return list(self._seen.commits)

    def wait(self, readings: int, timeout_s: float) -> bool:
        """Wait until so many readings were seen in all; False when the time is over first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._seen.readings >= readings, timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            # A notice comes after its commit; without one we look all the same, so that none is needed.
            for _ in self._connection.notifies(timeout=POLL_S, stop_after=1):
                pass
            at_s = time.time()
            self._note(at_s, self._connection.execute(self._fresh, {"last": self._floor}).fetchall())

    @property
    def _floor(self) -> int:
        return max(self._first, self._last - self._overtaken)

    def _note(self, at_s: float, rows: list[tuple[int, int, int]]) -> None:
        if not rows:
            return
        self._last = rows[-1][1]
        if self._overtaken:
            # A transaction is visible whole or not at all.
            rows = [row for row in rows if row[0] not in self._xids]
            self._xids.update(row[0] for row in rows)
        with self._changed:
            for xid, _, readings in rows:
                self._seen.commits.append(Commit(xid, at_s, readings))
                self._seen.readings += readings
            self._changed.notify_all()


def latencies_s(connection: Connection, commits: list[Commit], since_s: float) -> npt.NDArray[np.float64]:
    """From the time of each reading since ``since_s`` until its epoch was seen, in seconds; one entry a reading."""
    since = datetime.fromtimestamp(since_s, UTC).isoformat()
    with connection.cursor() as cursor, cursor.copy(TIMES.format(since=since).encode()) as copy:
        body = b"".join(copy)
    rows = np.frombuffer(body[_HEADER_BYTES:-_TRAILER_BYTES], _ROW)
    xids = np.array([commit.xid for commit in commits], np.int64)
    order = np.argsort(xids)
    places = np.searchsorted(xids, rows["xid"].astype(np.int64), sorter=order).clip(max=len(xids) - 1)
    found = order[places]
    known = xids[found] == rows["xid"]
    at_s = np.array([commit.at_s for commit in commits])[found[known]]
    latencies: npt.NDArray[np.float64] = at_s - (rows["time"][known].astype(np.int64) / 1e6 + _PG_EPOCH_S)
    return latencies
