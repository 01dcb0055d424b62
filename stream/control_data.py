"""Control data as the dataflow sees it: what is registered, planned and allowed. Frozen; ``control`` keeps it fresh."""

from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from contracts.facts import AnomalyKind
from stream import clean
from stream.facts import AnomalyRow, LaneId, PositionRow
from stream.replenish import Policy, Proposal
from stream.sequence import LaneState

STRICTER: Final = 1.4
LOOSER: Final = 0.95
LOOSEST: Final = 0.7
STRICTEST: Final = 10.0
"""What a label makes of the threshold of its place: each refuted anomaly raises it, a confirmed one lowers it a bit."""
Place = tuple[str, str, str]
"""Tenant, gateway and slot."""
Elsewhere = dict[int, dict[Place, PositionRow]]
"""Shelves whose events another process reads, by bucket of their site."""


class Slot(NamedTuple):
    """A place on a shelf that holds one SKU."""

    site: str
    sku: str
    channel: str
    unit_weight_g: float
    capacity: int = 0


class SiteSku(NamedTuple):
    """What a policy and a proposal are for."""

    tenant: str
    site: str
    sku: str


class PlannedPromotion(NamedTuple):
    """A SKU is promoted from ``start`` until before ``end``."""

    sku: str
    start: datetime
    end: datetime


class ChannelSetting(NamedTuple):
    """What is known of a channel; ``interval_s`` 0: not told, ``limit_c`` None: no limit."""

    class_: str = ""
    interval_s: float = 0.0
    limit_c: float | None = None
    limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Control data of one moment; ``version`` grows with each.

    ``elsewhere`` has the shelves of the sites that this process decides for and whose events another one reads.
    """

    version: int = 0
    gateways: dict[tuple[str, str], clean.Gateway] = field(default_factory=dict)
    slots: dict[tuple[str, str, str], Slot] = field(default_factory=dict)
    policies: dict[SiteSku, Policy] = field(default_factory=dict)
    proposals: dict[SiteSku, Proposal] = field(default_factory=dict)
    elsewhere: Elsewhere = field(default_factory=dict)
    backfills: frozenset[tuple[str, str, str]] = frozenset()
    """(tenant, gateway, ep) of frames that may be older than retention."""
    channels: dict[tuple[str, str, str], ChannelSetting] = field(default_factory=dict)
    strictness: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """(tenant, kind, place of an anomaly) -> factor on its threshold, from people's labels."""

    promotions: dict[tuple[str, str], list[PlannedPromotion]] = field(default_factory=dict)
    """What is promoted in each (tenant, site)."""

    zones: dict[tuple[str, str], tzinfo] = field(default_factory=dict)
    """Clock of each (tenant, site)."""

    def strictness_at(self, tenant: str, kind: AnomalyKind, place: str) -> float:
        """Factor on a threshold, 1.0 where nobody has labelled anything."""
        return self.strictness.get((tenant, kind, place), 1.0)


class StoredPosition(NamedTuple):
    """A row of shelf_position at the start."""

    site: str
    sku: str
    on_shelf: int


def strictness_of(confirmed: int, refuted: int) -> float:
    """Factor on a threshold after so many anomalies of one place that people called true, and false or expected."""
    return min(max(STRICTER**refuted * LOOSER**confirmed, LOOSEST), STRICTEST)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the database stands when the process starts: it has the last word over the recovery store."""

    lanes: dict[LaneId, LaneState]
    positions: dict[tuple[str, str, str], StoredPosition]
    anchors: dict[tuple[str, str], dict[str, int]]
    """(tenant, gateway) -> boot -> the UTC ms at which its monotonic clock was 0; oldest first."""
    learnt: dict[str, bytes] = field(default_factory=dict)
    """What slow detectors saved last, by key."""
    unended: list[AnomalyRow] = field(default_factory=list)
    """Anomalies that are open and that readings alone can end."""
