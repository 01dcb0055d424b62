"""Names of what the stream derives and the platform shows: anomaly kinds, proposal states, live notices.

These names are stored in the database and used by the API and by people's scripts: they never change.
"""

from enum import StrEnum
from typing import Final

import msgspec

LIVE_CHANNEL: Final = "shelfpulse_live"
"""NOTIFY channel on which an epoch's transaction says what it committed (payload: ``LiveNotice``)."""
CONTROL_CHANNEL: Final = "shelfpulse_control"
"""NOTIFY channel on which changes of slots, policies, gateways and orders reach the stream (payload: table name)."""
NOTIFY_MAX_BYTES: Final = 7_900


class AnomalyKind(StrEnum):
    """What can be wrong; see the table in docs/ARCHITECTURE.md."""

    STUCK_SENSOR = "stuck_sensor"
    DROPOUT = "dropout"
    SPIKE = "spike"
    DRIFT = "drift"
    SHRINKAGE = "shrinkage"
    PHANTOM_INVENTORY = "phantom_inventory"
    COLD_CHAIN = "cold_chain"
    DEMAND_SHIFT = "demand_shift"
    DEVICE_FAULT = "device_fault"


class AnomalyState(StrEnum):
    """How far people have dealt with an anomaly."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


class ProposalState(StrEnum):
    """Life of a suggested replenishment. Live: open, approved, ordered."""

    OPEN = "open"
    APPROVED = "approved"
    ORDERED = "ordered"
    RECEIVED = "received"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DISPUTED = "disputed"


LIVE_PROPOSALS: Final = (ProposalState.OPEN, ProposalState.APPROVED, ProposalState.ORDERED)


class LiveNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one epoch committed for one tenant: a hint to look, never the data itself.

    ``sites`` names those touched ('*' when they are too many to name); counts are of rows written.
    """

    tenant: str
    sites: list[str]
    readings: int = 0
    events: int = 0
    anomalies: int = 0
    proposals: int = 0
    quarantined: int = 0
