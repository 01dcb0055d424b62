"""Which tracker follows which channel, and how what it knows is kept over a restart. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from contracts.frames import Quality
from contracts.ids import device_of
from edge_agent.bus.registers import Decoded
from edge_agent.shelf.decision import Decision, audit
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan
from edge_agent.shelf.tracker import SlotTracker
from edge_agent.slots_file import Slot

TEMPERATURE: Final = "temp_c"
"""Metric of the thermometer of a shelf's controller: ``s01.temp_c`` beside ``s01-b3.weight_g``."""


class _Kept(msgspec.Struct, frozen=True):
    """Memory of a slot as it is stored; of no use any more when another article lies there."""

    sku: str
    unit_weight_g: float
    memory: SlotMemory


_DECODE = msgspec.json.Decoder(_Kept).decode
_ENCODE = msgspec.json.Encoder().encode


class Inferred(NamedTuple):
    """Decisions, and the memories of the slots that they changed, to be stored together."""

    decisions: list[Decision]
    memories: dict[str, bytes]


class SlotView(msgspec.Struct, frozen=True):
    """What is known of a slot, for the answer to a command. ``recent`` are decisions with their grounds."""

    slot: str
    sku: str
    on_shelf: int
    weight_g: float | None
    """The weight that the next one is compared with; None before the first plateau."""
    noise_g: float
    unit_g: float
    """Of a unit, as learnt here; ``unit_sd_g`` from unit to unit."""
    unit_sd_g: float
    zero_g: float | None
    slope_g_per_c: float
    foreign: dict[str, int]
    loads_g: list[float]
    recent: list[dict[str, object]]


class Inference:
    """Trackers of all slots of a gateway. ``kept`` is what ``memories`` gave before the restart.

    Different slots may be fed from different threads, one slot never from two at once: who calls ``tare``, ``count``
    or ``look`` from elsewhere holds the lock of the slot's bus.
    """

    def __init__(self, slots: Sequence[Slot], new_id: Callable[[], str], kept: Mapping[str, bytes]) -> None:
        self._slots = {slot.channel: slot for slot in slots}
        self._trackers = {
            slot.channel: SlotTracker(_plan(slot, slots), new_id, _memory(slot, kept.get(slot.name))) for slot in slots
        }
        self._by_name = {slot.name: slot for slot in slots}
        self._thermometers = {slot.channel: f"{_shelf_of(slot)}.{TEMPERATURE}" for slot in slots}
        self._celsius: dict[str, float | None] = dict.fromkeys(self._thermometers.values())

    def step(self, mono_ms: int, polled: Iterable[Decoded]) -> Inferred:
        """Feed the good weights and temperatures of one poll."""
        inferred = Inferred([], {})
        celsius = self._celsius
        for channel, value, quality in polled:
            if quality is not Quality.GOOD:
                continue
            if channel in celsius:
                celsius[channel] = value
                continue
            tracker = self._trackers.get(channel)
            if tracker is None:
                continue
            decisions = tracker.step(mono_ms, value, celsius[self._thermometers[channel]])
            if decisions:
                slot = self._slots[channel]
                inferred.decisions.extend(decisions)
                inferred.memories[slot.name] = _encode(slot, tracker.memory)
        return inferred

    def channel_of(self, slot: str) -> str:
        """The channel that weighs a slot. Raises KeyError."""
        return self._by_name[slot].channel

    def tare(self, slot: str, mono_ms: int) -> None:
        """Call it just before the scale is told to read 0: an ``adjust`` of 0 units, why ``tare``, comes from ``step``.

        Raises KeyError.
        """
        self._trackers[self.channel_of(slot)].tare(mono_ms)

    def tare_failed(self, slot: str) -> None:
        """Call it when the scale did not obey. Raises KeyError."""
        self._trackers[self.channel_of(slot)].tare_failed()

    def count(self, slot: str, units: int, mono_ms: int) -> Inferred:
        """Somebody counted ``units`` on a slot: an ``adjust``, why ``count``. Raises KeyError, ValueError below 0."""
        if units < 0:
            msg = f"{units} units on slot {slot!r}"
            raise ValueError(msg)
        known, tracker = self._by_name[slot], self._trackers[self.channel_of(slot)]
        decision = tracker.count(mono_ms, units)
        return Inferred([decision], {slot: _encode(known, tracker.memory)})

    def look(self, slot: str) -> SlotView:
        """What is known of a slot. Raises KeyError."""
        known, tracker = self._by_name[slot], self._trackers[self.channel_of(slot)]
        memory, article = tracker.memory, tracker.plan.article
        return SlotView(
            slot=slot,
            sku=known.sku,
            on_shelf=memory.on_shelf,
            weight_g=memory.baseline_g,
            noise_g=memory.noise_g,
            unit_g=article.unit_g,
            unit_sd_g=article.sd_g,
            zero_g=memory.zero_g,
            slope_g_per_c=memory.temperature.slope_g_per_c,
            foreign={sku: units for sku, units in memory.foreign.items() if units},
            loads_g=list(memory.loads_g),
            recent=[audit(decision) for decision in tracker.recent],
        )

    def memories(self) -> dict[str, bytes]:
        """What to keep of every slot that has been seen."""
        return {
            slot.name: _encode(slot, self._trackers[channel].memory)
            for channel, slot in self._slots.items()
            if self._trackers[channel].memory.baseline_g is not None
        }


def _encode(slot: Slot, memory: SlotMemory) -> bytes:
    return _ENCODE(_Kept(slot.sku, slot.unit_weight_g, memory))


def _memory(slot: Slot, kept: bytes | None) -> SlotMemory | None:
    if kept is None:
        return None
    try:
        known = _DECODE(kept)
    except msgspec.MsgspecError:
        return None  # of another version: count anew
    same = known.sku == slot.sku and known.unit_weight_g == slot.unit_weight_g
    return known.memory if same else None


def _plan(slot: Slot, slots: Sequence[Slot]) -> SlotPlan:
    """The slot's plan; its neighbours are the slots before and after it on the same shelf."""
    shelf = [other for other in slots if _shelf_of(other) == _shelf_of(slot)]
    place = shelf.index(slot)
    beside = shelf[max(0, place - 1) : place] + shelf[place + 1 : place + 2]
    return SlotPlan(
        slot=slot.name,
        article=_article(slot),
        capacity=slot.capacity,
        neighbours=tuple(_article(other) for other in beside if other.sku != slot.sku),
    )


def _article(slot: Slot) -> Article:
    return Article(slot.sku, slot.unit_weight_g, slot.unit_weight_sd_g)


def _shelf_of(slot: Slot) -> str:
    """The controller of a slot's bay: ``s01`` of ``s01-b3.weight_g``."""
    return device_of(slot.channel).rpartition("-")[0]
