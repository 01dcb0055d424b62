"""What a transaction writes of late frames: those that begin to wait, and what became of those that waited.

A frame leaves its table in the transaction that stores its content, so it is stored once, whenever the process dies.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from stream import queries
from stream.facts import Origin, Outcome, QuarantineRow, Settled
from stream.rows import FenceLostError, quarantine_row, storable

LaneKey = tuple[str, str, str, str]
"""Tenant, gateway, lane, ep."""


@dataclass(slots=True)
class _Account:
    """What one epoch adds to the late ledger of one incarnation of a lane."""

    held: int = 0
    released: int = 0
    quarantined: int = 0
    retried: int = 0
    readings: int = 0


def write_late(cursor: psycopg.Cursor, frames: list[Settled]) -> None:
    """Write what concerns late frames. Raises FenceLostError when one is not where we found it, psycopg.Error."""
    late = [frame for frame in frames if frame.held_boot or frame.outcome is not None]
    if not late:
        return
    holding = [_held(frame) for frame in late if frame.held_boot]
    if holding:
        cursor.executemany(queries.HOLD, holding)
    outcomes = [frame.outcome for frame in late if frame.outcome is not None]
    _release(cursor, outcomes)
    _settle_retries(cursor, outcomes)
    accounts = _accounts(late)
    if accounts:
        values = _columns_of(accounts)
        cursor.execute(queries.LATE, values)
        if cursor.execute(queries.WATERMARK_LATE, values).rowcount != len(accounts):
            msg = "a late frame is of a lane that is not there"
            raise FenceLostError(msg)


def _release(cursor: psycopg.Cursor, outcomes: list[Outcome]) -> None:
    waited = [outcome for outcome in outcomes if outcome.late.origin is Origin.UNSYNCED]
    if not waited:
        return
    ids = [outcome.late.row for outcome in waited]
    if cursor.execute(queries.RELEASE, {"ids": ids}).rowcount != len(ids):
        msg = "another process took up a late frame of ours"
        raise FenceLostError(msg)
    condemned = [
        quarantine_row(QuarantineRow(late.tenant, late.gateway, late.lane, late.ep, late.seq, late.message, fault))
        for late, fault, _ in waited
        if fault is not None
    ]
    if condemned:
        cursor.executemany(queries.QUARANTINE, condemned)
    times = [(at, late.tenant, late.gateway, event) for late, _, repaired in waited for event, at in repaired]
    if times:
        cursor.executemany(queries.EVENT_TIME, times)


def _settle_retries(cursor: psycopg.Cursor, outcomes: list[Outcome]) -> None:
    tried = [outcome for outcome in outcomes if outcome.late.origin is Origin.QUARANTINE]
    done = [outcome.late.row for outcome in tried if outcome.fault is None]
    back = [(outcome.late.row, outcome.fault) for outcome in tried if outcome.fault is not None]
    settled = 0
    if done:
        settled += cursor.execute(queries.RETRIED, {"ids": done}).rowcount
    if back:
        settled += cursor.execute(
            queries.HELD_BACK,
            {"ids": [row for row, _ in back], "reasons": [str(fault.reason) for _, fault in back],
             "details": [storable(fault.detail) for _, fault in back]},
        ).rowcount  # fmt: skip
    if settled != len(tried):
        msg = "another process took up a frame of the quarantine"
        raise FenceLostError(msg)


def _held(frame: Settled) -> tuple[Any, ...]:
    assert frame.lane is not None
    assert frame.message is not None
    topic, payload, received_ms = frame.message
    at = datetime.fromtimestamp(received_ms / 1000, UTC)
    return (*frame.lane, frame.ep, frame.to_seq, frame.held_boot, at, topic, payload)


def _accounts(frames: list[Settled]) -> dict[LaneKey, _Account]:
    accounts: dict[LaneKey, _Account] = {}
    for frame in frames:
        if frame.held_boot:
            assert frame.lane is not None
            accounts.setdefault((*frame.lane, frame.ep), _Account()).held += 1
        if frame.outcome is None or frame.outcome.late.seq is None:
            continue
        late, fault, _ = frame.outcome
        if late.origin is Origin.QUARANTINE and fault is not None:
            continue
        account = accounts.setdefault((late.tenant, late.gateway, late.lane, late.ep), _Account())
        account.readings += frame.hi - frame.lo
        if late.origin is Origin.QUARANTINE:
            account.retried += 1
        elif fault is None:
            account.released += 1
        else:
            account.quarantined += 1
    return accounts


_COUNTS: Final = ("held", "released", "quarantined", "retried", "readings")


def _columns_of(accounts: dict[LaneKey, _Account]) -> dict[str, list[Any]]:
    keys = list(accounts)
    return {
        "tenants": [key[0] for key in keys],
        "gateways": [key[1] for key in keys],
        "lanes": [str(key[2]) for key in keys],
        "eps": [key[3] for key in keys],
        **{name: [getattr(account, name) for account in accounts.values()] for name in _COUNTS},
    }
