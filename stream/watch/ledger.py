"""Follows the units of a site: what leaves and comes to its slots, what its tills sell, and what that says. Pure."""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from contracts.facts import AnomalyKind
from contracts.frames import EventKind
from stream.watch.finding import FORM, HOUR_US, SECOND_US, Finding, Place
from stream.watch.mass import Mass
from stream.watch.rate import DAY_H, Profile, Rate, weekday_of
from stream.watch.watch import Strictness, neutral

PAUSE_AFTER_US: Final = HOUR_US
"""After an outage the first hour says nothing of demand: what happened meanwhile shows in it."""
SETTLED_US: Final = HOUR_US // 6
"""What a scale shows so soon after an outage may be of the outage; a theft after that is one."""
CLOSED_EXPECTED: Final = 2.0
"""When so many sales of other slots were to be expected in an hour and none came, the site is closed."""
HOURS_MAX: Final = 24 * 400
"""Hours that one step may pass over, one by one."""


class SlotKey(NamedTuple):
    """A slot by gateway and name."""

    gateway: str
    slot: str


class Move(NamedTuple):
    """Units that left (negative) or came to a slot; ``on_shelf`` after it, None when nobody counted."""

    t_us: int
    at: SlotKey
    units: int
    kind: EventKind | None = None
    on_shelf: int | None = None


class Sale(NamedTuple):
    """What a till sold of an article; negative units were returned. ``at`` None: any slot of it at the site."""

    t_us: int
    sku: str
    units: int
    at: SlotKey | None = None


class Promotion(NamedTuple):
    """Planned demand: from … until it changes no level. ``at`` None: of the article, wherever it lies."""

    start_us: int
    end_us: int
    sku: str
    at: SlotKey | None = None


class Outage(NamedTuple):
    """A slot that cannot be seen: from an anomaly of its scale, device or gateway until that ends."""

    place: str
    start_us: int
    end_us: int | None


@dataclass(slots=True)
class Slot:
    """What the ledger knows of one slot."""

    place: Place
    sku: str
    channel: str
    mass: Mass = field(default_factory=Mass)
    rate: Rate = field(default_factory=Rate)
    stock: int | None = None
    sold: float = 0.0
    seen_from_us: int = 0
    """End of its last outage."""
    by_tills: bool = False


class Ledger:
    """All slots of one site."""

    def __init__(self) -> None:
        self.zone: tzinfo = UTC
        """Clock of the site: people shop by its hours and days."""
        self._slots: dict[SlotKey, Slot] = {}
        self._profile = Profile()
        self._hour: int | None = None
        self._site_day = 0.0
        self._outages: dict[str, Outage] = {}
        self._promotions: tuple[Promotion, ...] = ()

    def snapshot(self) -> bytes:
        """State for the recovery store."""
        return pickle.dumps((FORM, self), protocol=5)

    @classmethod
    def restore(cls, snapshot: bytes) -> "Ledger":
        """The ledger whose ``snapshot`` this was. Raises what unpickling raises for one of another release."""
        form, ledger = pickle.loads(snapshot)  # noqa: S301 - our own recovery store, which pickles anyway
        assert form == FORM
        assert isinstance(ledger, cls)
        return ledger

    def know(self, key: SlotKey, place: Place, sku: str, channel: str) -> None:
        """Tell of a slot; what is learnt stays while its article is the same."""
        slot = self._slots.get(key)
        if slot is None or slot.sku != sku:
            self._slots[key] = Slot(place, sku, channel)

    def plan(self, promotions: Iterable[Promotion]) -> None:
        """Tell of promotions, all of them."""
        self._promotions = tuple(promotions)

    def pause(self, finding: Finding) -> None:
        """Something that the watch found: a slot that it covers cannot be judged meanwhile."""
        if finding.kind not in BLINDING:
            return
        if finding.end_us is None:
            self._outages[str(finding.id)] = Outage(finding.place.name, finding.start_us, None)
            for slot in self._slots.values():
                if _covers(finding.place.name, slot):
                    slot.mass.forget()
            return
        self._outages.pop(str(finding.id), None)
        for slot in self._slots.values():
            if _covers(finding.place.name, slot):
                slot.seen_from_us = max(slot.seen_from_us, finding.end_us)
                slot.mass.forget()

    def step(
        self, moves: Iterable[Move], sales: Iterable[Sale], now_us: int, strictness: Strictness = neutral
    ) -> list[Finding]:  # fmt: skip
        """Take what happened until ``now_us``, in order of time; returns anomalies that open or close."""
        found: list[Finding] = []
        steps: list[tuple[int, int, Move | Sale]] = [(move.t_us, 0, move) for move in moves]
        steps += [(sale.t_us, 1, sale) for sale in sales]
        for t_us, _, each in sorted(steps, key=lambda step: step[:2]):
            found += self._pass_hours(t_us, strictness)
            found += self._move(each) if isinstance(each, Move) else self._sell(each)
        return found + self._pass_hours(now_us, strictness)

    # ------------------------------------------------------------- one change

    def _move(self, move: Move) -> list[Finding]:
        slot = self._slots.get(move.at)
        if slot is None:
            return []
        slot.stock = move.on_shelf if move.on_shelf is not None else slot.stock
        if move.on_shelf is None and slot.stock is not None:
            slot.stock = max(0, slot.stock + move.units)
        if move.t_us < slot.seen_from_us + SETTLED_US or self._is_blind(slot) or move.kind is EventKind.ADJUST:
            return []
        if move.units < 0:
            slot.mass.leave(move.t_us, -move.units)
            if not slot.by_tills and move.kind is not EventKind.REMOVE:
                return self._sold(slot, move.t_us, -move.units)
        elif move.units > 0:
            put_back = move.units - slot.mass.arrive(move.t_us, move.units)
            if not slot.by_tills:
                slot.sold = max(0.0, slot.sold - put_back)
        return []

    def _sell(self, sale: Sale) -> list[Finding]:
        slots = [self._slots[sale.at]] if sale.at in self._slots else self._of_sku(sale.sku)
        if not slots:
            return []
        # A till does not know from which of several slots it came: the one with most that waits for a sale.
        slot = max(slots, key=lambda each: sum(units for _, units in each.mass.gone))
        for each in slots:
            if not each.by_tills:
                each.by_tills, each.rate = True, Rate()
        slot.mass.sell(sale.t_us, sale.units)
        return self._sold(slot, sale.t_us, sale.units) if sale.units > 0 else []

    def _sold(self, slot: Slot, t_us: int, units: int) -> list[Finding]:
        slot.sold += units
        ended = slot.rate.sell(t_us, slot.place, units)
        return [] if ended is None else [ended]

    def _of_sku(self, sku: str) -> list[Slot]:
        return [slot for slot in self._slots.values() if slot.sku == sku]

    # ------------------------------------------------------------- as hours pass

    def _pass_hours(self, t_us: int, strictness: Strictness) -> list[Finding]:
        hour = t_us // HOUR_US
        if self._hour is None:
            self._hour = hour
        found: list[Finding] = []
        if hour - self._hour > HOURS_MAX:
            self._hour = hour
        while self._hour < hour:
            found += self._end_hour(self._hour, strictness)
            self._hour += 1
        return found

    def _end_hour(self, hour: int, strictness: Strictness) -> list[Finding]:
        found: list[Finding] = []
        end_us = (hour + 1) * HOUR_US
        sold = sum(slot.sold for slot in self._slots.values())
        local = self._local(hour)
        share = self._profile.share(local)
        expected = share * sum(slot.rate.level for slot in self._slots.values())
        for slot in self._slots.values():
            tenant, name = slot.place.tenant, slot.place.name
            told = slot.mass.judge(end_us, slot.place, strictness(tenant, AnomalyKind.SHRINKAGE, name))
            if told is not None:
                found.append(told)
            empty = slot.stock is not None and slot.stock <= 0 and slot.sold == 0
            is_blind = self._is_blind(slot) or end_us <= slot.seen_from_us + PAUSE_AFTER_US
            if empty or self._is_promoted(slot, end_us):
                slot.rate.skip()
            elif not is_blind:
                # A site that is closed sells nothing of anything else either.
                is_closed = sold == slot.sold and expected - share * slot.rate.level >= CLOSED_EXPECTED
                found += slot.rate.hour(
                    end_us, slot.place, slot.sold, share, 0.0 if is_closed else 1.0, slot.stock,
                    (strictness(tenant, AnomalyKind.PHANTOM_INVENTORY, name),
                     strictness(tenant, AnomalyKind.DEMAND_SHIFT, name)),
                )  # fmt: skip
            slot.sold = 0.0
        self._profile.learn_hour(local % DAY_H, sold)
        self._site_day += sold
        if self._local(hour + 1) // DAY_H > local // DAY_H:
            self._profile.learn_day(weekday_of(local), self._site_day)
            self._site_day = 0.0
        return found

    def _local(self, hour: int) -> int:
        """Hours since 1970 by the site's clock at the beginning of one since 1970 UTC."""
        offset = datetime.fromtimestamp(hour * HOUR_US // SECOND_US, self.zone).utcoffset()
        assert offset is not None
        return hour + int(offset.total_seconds() * SECOND_US // HOUR_US)

    def _is_blind(self, slot: Slot) -> bool:
        return any(_covers(outage.place, slot) for outage in self._outages.values())

    def _is_promoted(self, slot: Slot, end_us: int) -> bool:
        key = SlotKey(slot.place.gateway, slot.place.name.partition("/")[2])
        return any(
            each.start_us < end_us and end_us - HOUR_US < each.end_us
            and (each.at == key if each.at is not None else each.sku == slot.sku)
            for each in self._promotions
        )  # fmt: skip


BLINDING: Final = frozenset({AnomalyKind.STUCK_SENSOR, AnomalyKind.DROPOUT, AnomalyKind.DEVICE_FAULT})
"""Kinds during which the scale of a slot says nothing about its units."""


def _covers(name: str, slot: Slot) -> bool:
    gateway = slot.place.gateway
    device = slot.channel.partition(".")[0]
    return name in {
        gateway, f"{gateway}/{slot.channel}", f"{gateway}/{device}", f"{gateway}/{device.rpartition('-b')[0]}",
        slot.place.name,
    }  # fmt: skip
