"""Which tracker follows which channel, and how what it knows is kept over a restart. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from contracts.frames import Quality
from contracts.ids import device_of
from edge_agent.bus.registers import Decoded
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan
from edge_agent.shelf.tracker import Decision, SlotTracker
from edge_agent.slots_file import Slot


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


class Inference:
    """Trackers of all slots of a gateway. ``kept`` is what ``memories`` gave before the restart."""

    def __init__(self, slots: Sequence[Slot], new_id: Callable[[], str], kept: Mapping[str, bytes]) -> None:
        self._slots = {slot.channel: slot for slot in slots}
        self._trackers = {
            slot.channel: SlotTracker(_plan(slot, slots), new_id, _memory(slot, kept.get(slot.name))) for slot in slots
        }

    def step(self, mono_ms: int, polled: Iterable[Decoded]) -> Inferred:
        """Feed the good weights of one poll. Different slots may be fed from different threads."""
        inferred = Inferred([], {})
        for decoded in polled:
            tracker = self._trackers.get(decoded.channel)
            if tracker is None or decoded.quality is not Quality.GOOD:
                continue
            decisions = tracker.step(mono_ms, decoded.value)
            if decisions:
                slot = self._slots[decoded.channel]
                inferred.decisions.extend(decisions)
                inferred.memories[slot.name] = _encode(slot, tracker.memory)
        return inferred

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
