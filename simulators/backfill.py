"""``shelfpulse replay --backfill``: lets the platform take in a recording that is older than retention.

The recording goes the way of any other. Before it the database is told which incarnations may be that old; after it
the stream tries again what it had refused for its age, so that a file may have been replayed without the option first.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from contracts.topics import parse_plain
from simulators.replay import ReplayReport
from simulators.replay_input import ReplayInput
from stream import backfill, storage
from stream.backfill import Permit
from stream.storage import Connection

RETRY_S: Final = 15.0
"""The stream hears of a backfill within a moment, and tries refused frames again within seconds."""
_LOOK_S: Final = 0.1


class _Offset(msgspec.Struct):
    d: int = 0


class _Times(msgspec.Struct):
    """Where the times of a frame or a plain message stand."""

    t0: int | None = None
    sync: int = 1
    d: list[int] = []
    ts: int | None = None
    ev: list[_Offset] = []


_decoder = msgspec.json.Decoder(_Times)


def lift(dsn: str, recorded: ReplayInput, publish: Callable[[], ReplayReport]) -> ReplayReport:
    """``publish`` the recording while its old frames are let in. Raises UserError."""
    with storage.connect(dsn, application="shelfpulse replay") as connection:
        tier = storage.probe_tier(connection)
        now = datetime.now(UTC)
        ids = backfill.open_(connection, tier, permits(recorded, round(now.timestamp() * 1000)), now)
        try:
            report = publish()
            retried, held = _retry(connection, ids)
        finally:
            backfill.close(connection, ids, datetime.now(UTC))
    return msgspec.structs.replace(report, retried=retried, held=held)


def permits(recorded: ReplayInput, now_ms: int) -> list[Permit]:
    """The days of each incarnation in a recording. Frames without a clock are judged by their boot, as ever."""
    times: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for lane in recorded.lanes:
        for segment in lane.segments:
            owner = (lane.address.tenant, lane.address.gateway, segment.ep)
            for frame in segment.frames:
                times[owner].update(_times_ms(frame.payload))
    for message in recorded.plain:
        if not message.retain:
            address = parse_plain(message.topic, "raw")
            times[address.tenant, address.gateway, ""].update(_times_ms(message.payload))
    # What lies ahead is no backfill, and is refused for what it is.
    return [
        permit
        for owner, touched in times.items()
        for permit in backfill.days(*owner, (time_ms for time_ms in touched if 0 <= time_ms <= now_ms))
    ]


def _times_ms(payload: bytes) -> tuple[int, ...]:
    """First and last time, none when there is none to read."""
    try:
        found = _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ()
    if found.ts is not None:
        return (found.ts,)
    if found.t0 is None or not found.sync:
        return ()
    return (found.t0, found.t0 + max([*found.d, *(event.d for event in found.ev)], default=0))


def _retry(connection: Connection, ids: list[int]) -> tuple[int, int]:
    """Frames that left the quarantine, and those that are still refused."""
    deadline_s = time.monotonic() + RETRY_S
    rows: set[int] = set()
    while True:
        # A stream that has not heard of the backfill yet refuses them once more.
        rows.update(backfill.retry_refused(connection, ids))
        states = backfill.states(connection, list(rows))
        if states.keys() <= {"retried"} or time.monotonic() > deadline_s:
            return states.get("retried", 0), len(rows) - states.get("retried", 0)
        time.sleep(_LOOK_S)
