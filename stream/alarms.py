"""Alarms about a gateway itself: two agents with one name, a clock that runs ahead. Pure."""

from datetime import UTC, datetime

from contracts.facts import AnomalyKind
from contracts.ids import derived_id
from stream.facts import AnomalyRow, Arrival


def two_agents(arrival: Arrival, detail: str) -> AnomalyRow:
    """A frame that only a second agent with the same name can have sent."""
    address = arrival.address
    at = datetime.fromtimestamp(arrival.message.received_ms / 1000, UTC)
    return AnomalyRow(
        # One alarm a day and pair of agents, however many frames collide.
        derived_id(address.tenant, address.gateway, "two_agents", arrival.ep, at.date().isoformat()),
        address.tenant, address.site, address.gateway, AnomalyKind.DEVICE_FAULT, "gateway", address.gateway,
        at, None, at, 0.9, 1.0, {"why": "two_agents", "detail": detail, "lane": arrival.lane, "ep": arrival.ep},
    )  # fmt: skip


def fast_clock(arrival: Arrival) -> AnomalyRow:
    """A clock that calls itself disciplined and is ahead of ours."""
    address = arrival.address
    at = datetime.fromtimestamp(arrival.message.received_ms / 1000, UTC)
    ahead_s = round((arrival.t0_ms - arrival.message.received_ms) / 1000)
    return AnomalyRow(
        derived_id(address.tenant, address.gateway, "fast_clock", at.date().isoformat()),
        address.tenant, address.site, address.gateway, AnomalyKind.DEVICE_FAULT, "gateway", address.gateway, at, None,
        at, 0.7, 1.0, {"why": "fast_clock", "ahead_s": ahead_s},
    )  # fmt: skip
