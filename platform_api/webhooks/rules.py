"""Decisions about webhooks. Pure."""

from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final

STATES: Final[dict[str, tuple[str, ...]]] = {
    "anomaly": ("open", "acknowledged", "resolved", "dismissed"),
    "count": ("open", "submitted", "posted", "cancelled"),
    "order": (
        "draft", "submitted", "credit_hold", "approved", "allocated", "part_shipped", "shipped", "delivered", "closed",
        "cancelled",
    ),
    "proposal": ("open", "approved", "ordered", "received", "rejected", "expired", "disputed"),
    "receivable": ("invoice", "payment", "credit_note", "deposit"),
    "return": ("requested", "approved", "rejected", "received"),
    "shipment": (
        "dispatched", "in_transit", "out_for_delivery", "delivered", "exception", "confirmed", "disputed", "unknown",
    ),
    "stock": ("held", "released", "written_off"),
    "transfer": ("requested", "sent", "received", "closed"),
}  # fmt: skip
"""What is told: each noun, and the states that it comes to; of a transfer and of stock on hold the acts."""
EVENT_TYPES: Final = frozenset(f"{noun}.{state}" for noun, states in STATES.items() for state in states)
MEDIA_TYPE: Final = "application/cloudevents+json"
TYPE_PREFIX: Final = "shelfpulse."
"""Before the type of an event where a CloudEvent tells it."""
TEST_TYPE: Final = "webhook.test"
"""Told to one subscription alone, when it is tried."""

RETRY_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waiting time before each further attempt, in seconds: three days altogether (Standard Webhooks, "Retries")."""
JITTER_SHARE: Final = 0.2
RETRY_AFTER_MAX_S: Final = 86_400
REST_S: Final = (5.0, 300.0)
"""An endpoint that fails is left alone for a quarter of the time that it has failed for: these at least and at most."""
DEAD_AFTER: Final = timedelta(days=3)
"""An endpoint that took nothing for so long is disabled when it has missed all attempts of an event."""
LAST_ATTEMPT_WAITS: Final = timedelta(hours=20)
"""One that took nothing for so much longer is disabled all the same: with jitter the last attempt is after 91 hours."""
ROTATION: Final = timedelta(hours=24)
"""For so long the former secret signs as well."""
EVENT_LIFE: Final = timedelta(days=30)
"""Events can be replayed for so long."""


class Fate(StrEnum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    FAILED = "failed"
    GONE = "gone"
    """The endpoint says that it will never listen again."""


def fate_of(status: int | None, attempts: int) -> Fate:
    """Fate of a delivery after so many attempts, the last of which was answered with a status (None: not at all)."""
    if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Fate.DELIVERED
    if status == HTTPStatus.GONE:
        return Fate.GONE
    return Fate.RETRY if attempts <= len(RETRY_S) else Fate.FAILED


def wait_of(attempts: int, chance: float, asked_s: int | None) -> timedelta:
    """Time until the next attempt after ``attempts`` of them.

    ``chance`` in [0, 1) spreads endpoints that failed together over a fifth of it to either side; ``asked_s`` is what
    the endpoint asked for, of which at most a day is granted.
    """
    base_s = RETRY_S[attempts - 1]
    spread_s = base_s * (1 + JITTER_SHARE * (2 * chance - 1))
    return timedelta(seconds=max(spread_s, min(asked_s or 0, RETRY_AFTER_MAX_S)))


def rest_of(failing: timedelta, asked_s: int | None) -> timedelta:
    """For how long an endpoint is left alone that has failed for so long; ``asked_s`` is what it asked for itself."""
    shortest_s, longest_s = REST_S
    rest_s = min(max(failing.total_seconds() / 4, shortest_s, asked_s or 0), longest_s)
    return timedelta(seconds=rest_s)
