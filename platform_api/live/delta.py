"""What one audience is told next: only what it has not been told, encoded once for all of its viewers.

An audience is everybody who may see the same: one tenant and set of sites. Pure but for nothing: rows come in,
bytes go out.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

OVERLAP_US: Final = 10_000_000
"""A delta looks this far behind the end of the last one, for transactions that were still open then."""
REPLAY_MAX: Final = 240
"""Deltas kept for viewers that come back: two minutes at 2 Hz."""
REPLAY_AGE_US: Final = 60_000_000
"""A cursor older than this begins with the wall anew."""
LISTS: Final = ("positions", "events", "anomalies", "proposals")

encode = msgspec.json.Encoder().encode


def frame(event: str, data: bytes, *, cursor: int | None = None) -> bytes:
    """One server-sent event. ``data`` is JSON without line breaks; ``cursor`` becomes its id."""
    head = f"event: {event}\n" if cursor is None else f"id: {cursor}\nevent: {event}\n"
    return head.encode() + b"data: " + data + b"\n\n"


RESET: Final = frame("reset", b"{}")


class History:
    """The deltas of an audience since ``covered_from``, a cursor (µs since 1970 by the database's clock)."""

    def __init__(self, covered_from: int) -> None:
        self.covered_from = covered_from
        self._frames: deque[tuple[int, bytes]] = deque()

    def add(self, cursor: int, delta: bytes) -> None:
        """Keep a delta; the oldest leaves when there are REPLAY_MAX."""
        self._frames.append((cursor, delta))
        if len(self._frames) > REPLAY_MAX:
            self.covered_from, _ = self._frames.popleft()

    def since(self, cursor: int) -> list[bytes] | None:
        """The deltas after a cursor, None when it is too old to be continued."""
        if cursor < self.covered_from:
            return None
        return [delta for at, delta in self._frames if at > cursor]


class Fresh:
    """Sifts rows that were told already out of a query that overlaps the one before."""

    def __init__(self) -> None:
        self._told: dict[bytes, int] = {}

    def sift(self, rows: Iterable[Mapping[str, Any]], cursor: int) -> list[msgspec.Raw]:
        """Those of the rows that differ from all told within the overlap, as JSON."""
        fresh: list[msgspec.Raw] = []
        for row in rows:
            item = encode(row)
            if item not in self._told:
                fresh.append(msgspec.Raw(item))
            self._told[item] = cursor
        return fresh

    def forget(self, cursor: int) -> None:
        """Forget what no query can return any more."""
        horizon = cursor - 2 * OVERLAP_US
        self._told = {item: at for item, at in self._told.items() if at >= horizon}


def encode_changes(changes: Mapping[str, Any], fresh: Fresh) -> bytes | None:
    """JSON of what is new in ``changes`` (columns of queries.CHANGES), None when there is nothing to tell."""
    cursor: int = changes["cursor"]
    told = {name: fresh.sift(changes[name], cursor) for name in LISTS}
    fresh.forget(cursor)
    body = {name: items for name, items in told.items() if items}
    return encode(body) if body else None


def encode_values(latest: Mapping[int, tuple[int, float]], series: Sequence[int]) -> bytes | None:
    """JSON of the newest readings of some series, [[series, ms, value], …]; None without any."""
    values = [(one, *latest[one]) for one in series if one in latest]
    return encode(values) if values else None
