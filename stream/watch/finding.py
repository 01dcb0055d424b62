"""What a detector says: an anomaly that opens, and the same one again when it ends."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.facts import AnomalyKind
from contracts.ids import derived_id, device_of, metric_of

_BAY: Final = re.compile(r"(.+)-b\d+")
HOUR_US: Final = 3_600_000_000
SECOND_US: Final = 1_000_000
FORM: Final = 3
"""Form of what ``Watch`` and ``Ledger`` save: raise it whenever a class that they keep gets other fields."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a series. ``interval_s`` 0: not told; ``limit_c`` None: none; ``unit_g`` 0: on no slot."""

    tenant: str
    site: str
    gateway: str
    channel: str
    class_: str = ""
    interval_s: float = 0.0
    limit_c: float | None = None
    limit_s: float = 0.0
    slot: str = ""
    sku: str = ""
    unit_g: float = 0.0
    capacity: int = 0

    device: str = field(init=False)
    """Device part of the channel."""
    family: str = field(init=False)
    """Controller of a bay that is named after it, else the device."""
    metric: str = field(init=False)
    """Metric part of the channel."""

    def __post_init__(self) -> None:
        """Take the channel's name apart."""
        object.__setattr__(self, "device", device_of(self.channel))
        object.__setattr__(self, "family", family_of(device_of(self.channel)))
        object.__setattr__(self, "metric", metric_of(self.channel))


class Place(NamedTuple):
    """Where an anomaly is: ``kind`` series, slot, device or gateway; ``name`` as the API writes it."""

    tenant: str
    site: str
    gateway: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One anomaly. Times in µs since 1970 UTC; ``end_us`` None while it lasts.

    It is told when it opens and, with the same start and its end, when it closes.
    """

    kind: AnomalyKind
    place: Place
    start_us: int
    detected_us: int
    severity: float
    score: float
    evidence: dict[str, Any] = field(default_factory=dict)
    end_us: int | None = None

    @property
    def id(self) -> UUID:
        """The same whenever the same readings are replayed."""
        return derived_id(self.place.tenant, self.kind, self.place.name, self.start_us)

    def closed(self, end_us: int) -> "Finding":
        """The same anomaly, over."""
        return replace(self, end_us=max(end_us, self.start_us))


def series_place(profile: Profile) -> Place:
    """The series itself."""
    return Place(profile.tenant, profile.site, profile.gateway, "series", f"{profile.gateway}/{profile.channel}")


def slot_place(profile: Profile) -> Place:
    """The slot that the series weighs."""
    return Place(profile.tenant, profile.site, profile.gateway, "slot", f"{profile.gateway}/{profile.slot}")


def device_place(profile: Profile, device: str = "") -> Place:
    """The device of the series, or another one of its gateway."""
    name = f"{profile.gateway}/{device or profile.device}"
    return Place(profile.tenant, profile.site, profile.gateway, "device", name)


def gateway_place(profile: Profile) -> Place:
    """The gateway of the series."""
    return Place(profile.tenant, profile.site, profile.gateway, "gateway", profile.gateway)


def family_of(device: str) -> str:
    """Controller of a bay that is named after it: ``s01`` of ``s01-b2``; a device itself otherwise."""
    matched = _BAY.fullmatch(device)
    return matched[1] if matched else device
