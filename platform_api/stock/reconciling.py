"""Compares what shelves show with what is booked, as of one time at which late data can no longer arrive.

A difference must last. A small one is then booked with its reason, a large one asks for a blind count. For the worker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from platform_api.kit.keys import new_key
from platform_api.stock import counting_queries, moving
from platform_api.stock import observing_queries as queries
from platform_api.stock.ledger import Connection, Move, StockError, hold, post
from platform_api.stock.rules import ADJUST, SETTLED_AFTER, MoveKind, Verdict, judge, shelf_of
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """Outcome of a round: shelves compared, differences corrected, and counts asked for."""

    shelves: int
    posted: int
    counts: int


def reconcile(connection: Connection, now: datetime) -> Compared:
    """Compare every shelf once, as of SETTLED_AFTER ago or earlier; each in a transaction of its own."""
    rows = connection.execute(queries.COMPARE, {"as_of": now - SETTLED_AFTER}).fetchall()
    verdicts = []
    for row in rows:
        with connection.transaction():
            verdicts.append(_settle(connection, row, now))
    return Compared(len(rows), verdicts.count(Verdict.POST), verdicts.count(Verdict.COUNT))


def _settle(connection: Connection, row: Row, now: datetime) -> Verdict:
    difference = row["observed"] - row["booked"]
    if row["case_id"] is not None and not _is_still(connection, row):
        return Verdict.WATCH  # another worker judges it
    # Only a difference that stays the same is the same one.
    lasts = row["case_id"] is not None and row["observed_before"] - row["booked_before"] == difference
    if lasts and row["as_of"] <= row["as_of_before"]:
        return Verdict.WATCH  # no later window: where tills have the word, nothing was sold since
    windows = row["windows"] + 1 if lasts else 1
    verdict = judge(row["observed"], row["booked"], windows)
    if row["state"] == "count_asked" and verdict is not Verdict.AGREES:
        return Verdict.WATCH  # somebody has been asked to look
    case_id = row["case_id"] or new_key()
    values = {
        "tenant_id": row["tenant_id"],
        "case_id": case_id,
        "location": shelf_of(row["site_id"]),
        "sku": row["sku"],
        "observed": row["observed"],
        "booked": row["booked"],
        "as_of": row["as_of"],
        "windows": windows,
        "count_id": None,
    }
    if row["case_id"] is None:
        if verdict is Verdict.AGREES:
            return verdict
        connection.execute(queries.OPEN_CASE, values)
        return verdict
    match verdict:
        case Verdict.AGREES:
            connection.execute(queries.MOVE_CASE, {**values, "state": "gone"})
        case Verdict.WATCH:
            connection.execute(queries.MOVE_CASE, {**values, "state": "watched"})
        case Verdict.POST:
            state = "posted" if _correct(connection, values, difference, now) else "watched"
            connection.execute(queries.MOVE_CASE, {**values, "state": state})
        case Verdict.COUNT:
            count_id = _ask(connection, values)
            connection.execute(queries.MOVE_CASE, {**values, "state": "count_asked", "count_id": count_id})
    return verdict


def _is_still(connection: Connection, row: Row) -> bool:
    case = connection.execute(queries.LOCK_CASE, row).fetchone()
    return case is not None and case["as_of"] == row["as_of_before"]


def _correct(connection: Connection, values: Row, difference: int, now: datetime) -> bool:
    place = (values["location"], values["sku"])
    legs = [Leg(*place, difference), Leg(ADJUST, values["sku"], -difference)]
    balances = hold(connection, values["tenant_id"], [place])
    then = connection.execute(queries.BOOKED_THEN, values).fetchone()
    if then is None or then["booked"] != values["booked"]:
        return False  # something late was booked meanwhile: compared again in the next round
    move = Move(
        kind=MoveKind.RECONCILE,
        happened_at=values["as_of"],
        legs=moving.fefo_legs(connection, values["tenant_id"], legs, balances),
        source="reconcile",
        source_event_id=str(values["case_id"]),
        reason=f"the shelf showed {values['observed']}, booked were {values['booked']}, in {values['windows']} windows",
        reference=values["location"],
        late=True,
    )
    try:
        with connection.transaction():
            return post(connection, values["tenant_id"], move, now) is not None
    except StockError:
        return False


def _ask(connection: Connection, values: Row) -> UUID:
    count_id = new_key()
    # Whoever counts reads this, and must not know what is booked.
    reason = "the shelf and the books differ"
    connection.execute(
        counting_queries.INSERT_COUNT, {**values, "count_id": count_id, "reason": reason, "user_id": None}
    )
    connection.execute(counting_queries.INSERT_LINE, {**values, "count_id": count_id})
    return count_id
