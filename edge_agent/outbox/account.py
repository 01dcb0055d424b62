"""What an outbox file holds, read beside the agent that writes it."""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from contracts.errors import UserError
from edge_agent.outbox import queries
from edge_agent.outbox.opening import those_aside


class LaneAccount(NamedTuple):
    """One lane: what was ever written to it, what of it was committed, what waits, what was given up."""

    lane: str
    committed: int
    last: int
    frames_written: int
    readings_written: int
    readings_lost: int
    digest: str
    frames_waiting: int
    oldest_s: float
    bytes_waiting: int


class GapAccount(NamedTuple):
    """A gap that was declared; ``at_ms`` since 1970 UTC."""

    at_ms: int
    lane: str
    first: int
    last: int
    reason: str


class OutboxAccount(NamedTuple):
    """The whole file."""

    file: Path
    ep: str
    lanes: list[LaneAccount]
    gaps: list[GapAccount]
    aside: list[Path]
    """Files that were set aside, oldest first."""

    def as_json(self) -> dict[str, object]:
        """For --json: totals, lanes by name, gaps oldest first."""
        return {
            "file": str(self.file),
            "ep": self.ep,
            "frames_written": sum(lane.frames_written for lane in self.lanes),
            "readings_written": sum(lane.readings_written for lane in self.lanes),
            "readings_lost": sum(lane.readings_lost for lane in self.lanes),
            "frames_waiting": sum(lane.frames_waiting for lane in self.lanes),
            "bytes_waiting": sum(lane.bytes_waiting for lane in self.lanes),
            "oldest_s": max((lane.oldest_s for lane in self.lanes), default=0.0),
            "lanes": {lane.lane: _without(lane._asdict(), "lane") for lane in self.lanes},
            "gaps": [gap._asdict() for gap in self.gaps],
            "aside": [str(path) for path in self.aside],
        }


def read(file: Path) -> OutboxAccount:
    """Read an outbox file. Raises UserError."""
    if not file.exists():
        msg = f"no outbox at {file}"
        raise UserError(msg, "the agent makes it when it first runs")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as db:
            return _read(file, db)
    except sqlite3.Error as error:
        msg = f"cannot read the outbox {file}: {error}"
        raise UserError(msg) from error


def read_records(file: Path, limit: int) -> list[bytes]:
    """The grounds of the last ``limit`` decisions as JSON, oldest first. Raises UserError."""
    if not file.exists():
        msg = f"no outbox at {file}"
        raise UserError(msg, "the agent makes it when it first runs")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as db:
            if not db.execute(queries.HAS_RECORDS).fetchone()[0]:
                return []
            return [record for (record,) in db.execute(queries.RECORDS, {"limit": limit})][::-1]
    except sqlite3.Error as error:
        msg = f"cannot read the outbox {file}: {error}"
        raise UserError(msg) from error


def _read(file: Path, db: sqlite3.Connection) -> OutboxAccount:
    db.execute("BEGIN")  # one state of the file, though the agent goes on writing
    row = db.execute(queries.GET_META, {"key": "ep"}).fetchone()
    waiting = {lane: rest for lane, *rest in db.execute(queries.DEPTH_BY_LANE)}
    now_ms = time.time() * 1000
    lanes = []
    for lane, *written in db.execute(queries.LANES):
        frames, oldest_ms, size = waiting.get(lane, (0, now_ms, 0))
        # 0: written under a clock that nobody believed.
        oldest_s = round(max(0.0, now_ms - (oldest_ms or now_ms)) / 1000, 1)
        lanes.append(LaneAccount._make((lane, *written, frames, oldest_s, size)))
    gaps = [GapAccount(*gap) for gap in db.execute(queries.GAPS)]
    return OutboxAccount(file, "" if row is None else row[0], lanes, gaps, those_aside(file))


def _without(mapping: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in mapping.items() if name != key}
