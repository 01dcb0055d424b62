"""Sends what waits for subscribers; run by the worker, for all tenants, by several at once if there are."""

import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from platform_api.kit.db import Connection
from platform_api.kit.destinations import PUBLIC, Answer, DestinationError, Reach, post
from platform_api.kit.money import MoneyText
from platform_api.kit.signatures import signed_headers
from platform_api.webhooks import queries
from platform_api.webhooks.rules import DEAD_AFTER, EVENT_LIFE, MEDIA_TYPE, TYPE_PREFIX, Fate, fate_of, wait_of

TIMEOUT_S: Final = 10.0
EACH_MAX: Final = 20
ALL_MAX: Final = 40
"""Deliveries of one round."""
SENDERS: Final = 8
SLACK_S: Final = 10.0
SANDBOX_HEADER: Final = "shelfpulse-sandbox"
"""Of what happened to test data; the body says so too, since its signature covers that."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sending:
    """How deliveries are sent: seconds of one exchange, which addresses may be asked, and the dice of delays."""

    reach: Reach = PUBLIC
    timeout_s: float = TIMEOUT_S
    chance: Callable[[], float] = random.random

    @property
    def lease(self) -> timedelta:
        """For so long a round may last at most: what is not settled by then is another worker's."""
        return timedelta(seconds=self.timeout_s * ceil(ALL_MAX / SENDERS) + SLACK_S)


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt: the answer, or what was in its way."""

    row: Row
    answer: Answer | None
    error: str


def deliver(tx: Connection, now: datetime, sending: Sending) -> int:
    """Send what is due; returns how many deliveries were tried. ``tx`` is in autocommit mode.

    At least once: an endpoint knows by ``webhook-id`` what it has heard before. Events of one subject are told in the
    order in which they happened: a later one waits until the earlier was taken, or given up.
    """
    limits = {"lease": now + sending.lease, "each": EACH_MAX, "all": ALL_MAX}
    claimed = tx.execute(queries.CLAIM, {"now": now, **limits}).fetchall()
    if not claimed:
        return 0
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook") as pool:
        for sent in as_completed([pool.submit(attempt, row, sending) for row in claimed]):
            with tx.transaction():
                _settle(tx, sent.result(), now, sending)
    return len(claimed)


def forget(tx: Connection, now: datetime) -> int:
    """Forget events that nobody can replay any more; returns how many."""
    return tx.execute(queries.FORGET, {"before": now - EVENT_LIFE}).rowcount


def attempt(row: Row, sending: Sending) -> Tried:
    """Send one delivery and say what came of it."""
    body = render(row)
    keys = [key for key in (row["secret"], row["previous_secret"]) if key]
    headers = {
        "content-type": f"{MEDIA_TYPE}; charset=utf-8",
        "user-agent": "ShelfPulse",
        **({SANDBOX_HEADER: "true"} if row["sandbox"] else {}),
        **signed_headers(keys, str(row["event_id"]), datetime.now(UTC), body),
    }
    try:
        answer = post(row["url"], headers, body.encode(), timeout_s=sending.timeout_s, reach=sending.reach)
    except DestinationError as error:
        return Tried(row, None, str(error))
    return Tried(row, answer, "" if fate_of(answer.status, 1) is Fate.DELIVERED else f"answered {answer.status}")


def render(row: Row) -> str:
    """An event of the outbox as a CloudEvent (1.0, structured JSON)."""
    event = CloudEvent(
        {
            "specversion": "1.0",
            "id": str(row["event_id"]),
            "source": f"/tenants/{row['tenant_id']}",
            "type": TYPE_PREFIX + row["type"],
            "subject": row["subject"],
            "time": row["at"],
            "datacontenttype": "application/json",
            **({"sandbox": True} if row["sandbox"] else {}),
        },
        shown(row["data"]),
    )
    return JSONFormat().write(event).decode()


def shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data of the outbox with money as the API shows it."""
    return {
        name: MoneyText.of(value["minor"], value["currency"]).model_dump()
        # Units by SKU have names of their own, which may be these.
        if isinstance(value, dict) and value.keys() == {"minor", "currency"} and isinstance(value["currency"], str)
        else value
        for name, value in data.items()
    }


def _settle(tx: Connection, tried: Tried, now: datetime, sending: Sending) -> None:
    row = tried.row
    status = None if tried.answer is None else tried.answer.status
    fate = fate_of(status, row["attempts"])
    asked_s = None if tried.answer is None else tried.answer.retry_after_s
    again = now + wait_of(row["attempts"], sending.chance(), asked_s) if fate is Fate.RETRY else None
    state = {Fate.DELIVERED: "delivered", Fate.RETRY: "pending"}.get(fate, "failed")
    place = {name: row[name] for name in ("tenant_id", "webhook_id", "event_id", "attempts")}
    delivered_at = now if fate is Fate.DELIVERED else None
    tx.execute(
        queries.SETTLE,
        {
            **place,
            "state": state,
            "next_at": again,
            "status": status,
            "error": tried.error,
            "delivered_at": delivered_at,
        },
    )
    if fate is Fate.DELIVERED:
        tx.execute(queries.NOTE_WELL, place)
        return
    tx.execute(queries.NOTE_FAILING, {**place, "now": now})
    if fate is Fate.GONE:
        tx.execute(queries.DISABLE, {**place, "reason": "the endpoint answered 410 Gone", "failing_before": None})
    elif fate is Fate.FAILED:
        days = f"took nothing for {DEAD_AFTER.days} days; last: {tried.error}"
        tx.execute(queries.DISABLE, {**place, "reason": days, "failing_before": now - DEAD_AFTER})
