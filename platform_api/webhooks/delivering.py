"""Sends what waits for subscribers; run by the worker, for all tenants, by several at once if there are."""

import random
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from psycopg.rows import DictRow

from platform_api.kit.db import Connection
from platform_api.kit.destinations import PUBLIC, Answer, DestinationError, Reach, post
from platform_api.kit.money import MoneyText
from platform_api.kit.signatures import signed_headers
from platform_api.webhooks import queries
from platform_api.webhooks.rules import (
    DEAD_AFTER,
    EVENT_LIFE,
    LAST_ATTEMPT_WAITS,
    MEDIA_TYPE,
    TYPE_PREFIX,
    Fate,
    fate_of,
    rest_of,
    wait_of,
)

TIMEOUT_S: Final = 10.0
SLOW_S: Final = 2.0
"""An endpoint that took longer to take the last event is slow."""
ENDPOINT_MAX: Final = 4
"""Deliveries to one endpoint that are under way at once; one while it fails or is slow."""
TENANT_MAX: Final = 8
TENANT_APART_MAX: Final = 2
ALL_MAX: Final = 48
ALL_APART_MAX: Final = 16
"""Of one tenant and of all, in one worker. Endpoints that fail or are slow are apart: nobody waits for them."""
LOOK_S: Final = 0.5
"""While endpoints are waited for, what is due meanwhile is looked for this often."""
ROUND_S: Final = 60.0
"""After this time nothing more is begun, so that a round ends even where something is always due."""
SLACK_S: Final = 10.0
SANDBOX_HEADER: Final = "shelfpulse-sandbox"
"""Of what happened to test data; the body says so too, since its signature covers that."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sending:
    """How deliveries are sent: seconds of one exchange, which addresses may be asked, and the dice of delays.

    ``slow_s``: an exchange that took longer makes its endpoint a slow one.
    """

    reach: Reach = PUBLIC
    timeout_s: float = TIMEOUT_S
    slow_s: float = SLOW_S
    chance: Callable[[], float] = random.random

    @property
    def lease(self) -> timedelta:
        """For so long an exchange may last at most: what is not settled by then is another worker's."""
        return timedelta(seconds=self.timeout_s + SLACK_S)


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt: the answer, or what was in its way, and the seconds that it took."""

    row: Row
    answer: Answer | None
    error: str
    took_s: float


def deliver(
    tx: Connection, clock: Callable[[], datetime], sending: Sending, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Send what is due until nothing more is; returns how many deliveries were tried. ``tx`` is in autocommit mode.

    At least once: an endpoint knows by ``webhook-id`` what it has heard before. Events of one subject are told in the
    order in which they happened: a later one waits until the earlier was taken, or given up. An endpoint that is slow
    holds up its own deliveries, and no others while its tenant has a share left. ``stopped`` ends it early: nothing
    more is begun.
    """
    tried = 0
    under_way: dict[Future[Tried], Row] = {}
    end_s = time.monotonic() + ROUND_S
    with ThreadPoolExecutor(ALL_MAX + ALL_APART_MAX, thread_name_prefix="webhook") as pool:
        while True:
            if not stopped() and time.monotonic() < end_s:
                for row in _claim(tx, clock(), sending, under_way.values()):
                    under_way[pool.submit(attempt, row, sending)] = row
                    tried += 1
            if not under_way:
                return tried
            done, _ = wait(under_way, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            for sent in done:
                del under_way[sent]
                with tx.transaction():
                    _settle(tx, sent.result(), clock(), sending)


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
    start_s = time.monotonic()
    try:
        answer = post(row["url"], headers, body.encode(), timeout_s=sending.timeout_s, reach=sending.reach)
    except DestinationError as error:
        return Tried(row, None, str(error), time.monotonic() - start_s)
    error_told = "" if fate_of(answer.status, 1) is Fate.DELIVERED else f"answered {answer.status}"
    return Tried(row, answer, error_told, time.monotonic() - start_s)


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


def _claim(tx: Connection, now: datetime, sending: Sending, busy: Collection[Row]) -> list[DictRow]:
    """Take what may be sent beside the busy ones."""
    return tx.execute(
        queries.CLAIM,
        {
            "now": now,
            "lease": now + sending.lease,
            "tenants": [row["tenant_id"] for row in busy],
            "webhooks": [row["webhook_id"] for row in busy],
            "apart": [row["apart"] for row in busy],
            "endpoint": ENDPOINT_MAX,
            "tenant": TENANT_MAX,
            "tenant_apart": TENANT_APART_MAX,
            "all": ALL_MAX,
            "all_apart": ALL_APART_MAX,
        },
    ).fetchall()


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
        tx.execute(queries.NOTE_WELL, {**place, "slow": tried.took_s > sending.slow_s})
        return
    rest = rest_of(now - (row["failing_since"] or now), asked_s)
    tx.execute(queries.NOTE_FAILING, {**place, "now": now, "rests_until": now + rest})
    if fate is Fate.GONE:
        tx.execute(queries.DISABLE, {**place, "reason": "the endpoint answered 410 Gone", "failing_before": None})
        return
    # Where much waits each delivery is tried so seldom that none would use up its attempts.
    patience = DEAD_AFTER if fate is Fate.FAILED else DEAD_AFTER + LAST_ATTEMPT_WAITS
    days = f"took nothing for {DEAD_AFTER.days} days; last: {tried.error}"
    tx.execute(queries.DISABLE, {**place, "reason": days, "failing_before": now - patience})
