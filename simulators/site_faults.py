"""Faults of a recorded site, drawn from a seed: what, where, when. Pure.

Each kind of anomaly befalls places of its own, so that every truth has one cause. Times are seconds after the start.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import Final

import msgspec

from contracts.facts import AnomalyKind
from simulators.story import AnyAction, Drift, Rush, Spike, Stuck, Theft, Warm

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
LIMIT_C: Final = 8.0
LIMIT_S: Final = 1_800.0
APART_MS: Final = 2 * 3_600_000
SHORT_MS: Final = 12 * 3_600_000
"""A truth that is shorter than this is not hidden by a fault of what would show it, nor two hours before or after."""


class Truth(msgspec.Struct, frozen=True):
    """An anomaly that is there: ``place`` as anomalies write it, from ``t_ms`` to ``end_ms``."""

    kind: AnomalyKind
    place: str
    t_ms: int
    end_ms: int


class Mute(msgspec.Struct, frozen=True):
    """Readings of ``channels`` (gateway/channel) that never came, or a share of them."""

    channels: tuple[str, ...]
    start_s: float
    end_s: float
    share: float = 1.0


class Noisy(msgspec.Struct, frozen=True):
    """Channels whose noise is ``sd`` more for a while."""

    channels: tuple[str, ...]
    start_s: float
    end_s: float
    sd: float


class Faults(msgspec.Struct):
    """All that befalls one site."""

    story: list[AnyAction] = []
    mutes: list[Mute] = []
    noises: list[Noisy] = []
    truths: list[Truth] = []


class Layout(msgspec.Struct, frozen=True):
    """Where faults may strike: slots with their SKUs, controllers, all channels by controller, fast sellers first."""

    slots: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]
    channels: dict[str, tuple[str, ...]]


def draw(rng: Random, layout: Layout, start_ms: int, first_day: float, days: float) -> Faults:
    """Faults between ``first_day`` and ``days``."""
    drawing = _Drawing(rng, layout, start_ms, first_day, days)
    drawing.demand()
    drawing.goods()
    drawing.scales()
    drawing.warmth()
    drawing.silences()
    drawing.devices()
    return drawing.faults


class _Drawing:
    """Hands out places, each once, fast sellers to what needs many sales."""

    def __init__(self, rng: Random, layout: Layout, start_ms: int, first_day: float, days: float) -> None:
        self.faults = Faults()
        self._rng, self._layout, self._start_ms = rng, layout, start_ms
        self._first_day, self._days = first_day, days
        slots = list(layout.slots)
        self._fast, self._rest = slots[: len(slots) // 2], slots[len(slots) // 2 :]
        rng.shuffle(self._fast)
        rng.shuffle(self._rest)
        self._controllers = list(layout.devices)
        rng.shuffle(self._controllers)

    def demand(self) -> None:
        """Levels that change, and stock that nobody buys."""
        for _ in range(2):
            place, sku = self._fast.pop()
            at_s, lasts_s = self._when(6, 8, DAY_S)
            self.faults.story.append(Rush(at_s=at_s, sku=sku, factor=self._rng.choice((0.25, 3.0)), for_s=lasts_s))
            self._true(AnomalyKind.DEMAND_SHIFT, place, at_s, lasts_s)
        for _ in range(2):
            place, sku = self._fast.pop()
            at_s, lasts_s = self._when(4, 6, DAY_S)
            self.faults.story.append(Rush(at_s=at_s, sku=sku, factor=1e-9, for_s=lasts_s))
            self._true(AnomalyKind.PHANTOM_INVENTORY, place, at_s, lasts_s)

    def goods(self) -> None:
        """Thefts; what a thief finds depends on the hour."""
        for place, _ in (self._fast.pop(), self._rest.pop(), self._rest.pop()):
            at_s, _ = self._when(0, 0, 1)
            self.faults.story.append(Theft(at_s=at_s, place=place, units=self._rng.randint(5, 8)))
            self._true(AnomalyKind.SHRINKAGE, place, at_s, 0.0)

    def scales(self) -> None:
        """Cells that creep, freeze or jump."""
        for _ in range(2):
            place, _ = self._rest.pop()
            at_s, lasts_s = self._when(2, 3, DAY_S)
            rate = self._rng.choice((-1, 1)) * self._rng.uniform(6, 15)
            self.faults.story.append(Drift(at_s=at_s, place=place, g_per_hour=rate, for_s=lasts_s))
            self._true(AnomalyKind.DRIFT, place, at_s, lasts_s)
        for _ in range(2):
            place, _ = self._rest.pop()
            at_s, lasts_s = self._when(4, 20, HOUR_S)
            self.faults.story.append(Stuck(at_s=at_s, place=place, for_s=lasts_s))
            self._true(AnomalyKind.STUCK_SENSOR, f"{place}.weight_g", at_s, lasts_s)
        for place, _ in (self._rest.pop(), self._fast.pop()):
            at_s, _ = self._when(0, 0, 1)
            value = self._rng.choice((-4_000.0, 30_000.0, 60_000.0))
            self.faults.story.append(Spike(at_s=at_s, place=place, value=value))
            self._true(AnomalyKind.SPIKE, f"{place}.weight_g", at_s, 0.0)

    def warmth(self) -> None:
        """Coolers that fail, and defrosts of all others, which end in time and are no anomaly."""
        failing: dict[str, float] = {}
        for device in self._controllers[:3]:
            at_s, lasts_s = self._when(2, 5, HOUR_S)
            failing[device] = at_s
            to_c = self._rng.uniform(11, 16)
            self.faults.story.append(Warm(at_s=at_s, place=device, to_celsius=to_c, for_s=lasts_s, rise_s=1_200))
            self._true(AnomalyKind.COLD_CHAIN, f"{device}.temp_c", at_s, lasts_s)
        for device in self._controllers:
            for day in range(int(self._days)):
                if abs(failing.get(device, math.inf) - day * DAY_S) > DAY_S / 2:
                    at_s = day * DAY_S + self._rng.uniform(0, 60)
                    self.faults.story.append(Warm(at_s=at_s, place=device, to_celsius=9.5, for_s=900, rise_s=300))

    def silences(self) -> None:
        """A series, a controller and a gateway that say nothing for hours."""
        layout, gateway = self._layout, self._controllers[3].partition("/")[0]
        moving = [each for each in layout.channels[self._controllers[3]] if not each.endswith(".supply_v")]
        channel = self._rng.choice(moving)
        device = self._controllers[4]
        everything = tuple(_of_gateway(layout, gateway))
        for channels, place in (((channel,), channel), (layout.channels[device], device), (everything, gateway)):
            at_s, lasts_s = self._apart(1, 5, channels)
            self.faults.mutes.append(Mute(channels, at_s, at_s + lasts_s))
            self._true(AnomalyKind.DROPOUT, place, at_s, lasts_s)

    def devices(self) -> None:
        """A controller that gets noisy, and one of which only some readings come."""
        noisy, patchy = self._controllers[5], self._controllers[0]
        at_s, lasts_s = self._apart(12, 30, self._layout.channels[noisy])
        self.faults.noises.append(Noisy(self._layout.channels[noisy], at_s, at_s + lasts_s, 80.0))
        self._true(AnomalyKind.DEVICE_FAULT, noisy, at_s, lasts_s)
        at_s, lasts_s = self._apart(12, 30, self._layout.channels[patchy])
        self.faults.mutes.append(Mute(self._layout.channels[patchy], at_s, at_s + lasts_s, 0.4))
        self._true(AnomalyKind.DEVICE_FAULT, patchy, at_s, lasts_s)

    def _when(self, low: float, high: float, unit_s: float) -> tuple[float, float]:
        """Start and length of a fault, s; it ends a day before the recording does."""
        lasts_s = self._rng.uniform(low, high) * unit_s
        return self._rng.uniform(self._first_day * DAY_S, self._days * DAY_S - lasts_s - DAY_S), lasts_s

    def _apart(self, low_h: float, high_h: float, channels: tuple[str, ...]) -> tuple[float, float]:
        """Start and length of a fault that hides no short truth of ``channels``, nor is hidden by one."""
        truths = [
            each for each in self.faults.truths
            if each.end_ms - each.t_ms < SHORT_MS and any(_shows(each.place, one) for one in channels)
        ]  # fmt: skip
        while True:
            at_s, lasts_s = self._when(low_h, high_h, HOUR_S)
            from_ms = self._start_ms + round(at_s * 1000) - APART_MS
            until_ms = from_ms + round(lasts_s * 1000) + 2 * APART_MS
            if all(each.end_ms < from_ms or each.t_ms > until_ms for each in truths):
                return at_s, lasts_s

    def _true(self, kind: AnomalyKind, place: str, at_s: float, lasts_s: float) -> None:
        start_ms = self._start_ms + round(at_s * 1000)
        self.faults.truths.append(Truth(kind, place, start_ms, start_ms + round(lasts_s * 1000)))


def _shows(place: str, channel: str) -> bool:
    """Whether a channel belongs to a place: a series, a slot, a controller or a gateway."""
    return channel == place or channel.startswith((f"{place}.", f"{place}-", f"{place}/"))


def _of_gateway(layout: Layout, gateway: str) -> Iterator[str]:
    for device, channels in layout.channels.items():
        if device.startswith(f"{gateway}/"):
            yield from channels
