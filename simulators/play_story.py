"""Plays the actions of a plan's story on a store. Pure: what it changes is the store's."""

from typing import TYPE_CHECKING, Final

from simulators import shopper
from simulators.controller import Lateness, Place, ShelfController
from simulators.story import AnyAction, Dead, Drift, Restock, Rush, Slow, Spike, Stuck, Theft, Warm
from simulators.truth import EventKind

if TYPE_CHECKING:
    from simulators.store import Store

SWEEP_S: Final = 1.5
"""How long a thief's arm is on the bay."""


def play_action(store: "Store", action: AnyAction, at_s: float) -> None:
    """Begin an action at ``at_s`` where it concerns this store."""
    match action:
        case Rush():
            _rush(store, action, at_s)
        case Restock():
            _restock(store, action, at_s)
        case Theft() | Drift():
            if (place := store.by_slot.get(action.place)) is not None:
                _befall_bay(store, action, place, at_s)
        case Warm() | Dead() | Slow():
            if (controller := store.by_device.get(action.place)) is not None:
                _befall_controller(store, action, controller, at_s)
        case Spike() | Stuck():
            _befall_reading(store, action, at_s)


def _rush(store: "Store", action: Rush, at_s: float) -> None:
    if action.site not in (None, store.plan.site):
        return
    store.tell_fault(action, action.sku, at_s, action.for_s)
    store.change_demand(action.sku, action.factor, at_s)
    store.schedule(at_s + action.for_s, lambda now_s: store.change_demand(action.sku, 1 / action.factor, now_s))


def _restock(store: "Store", action: Restock, at_s: float) -> None:
    if action.site not in (None, store.plan.site):
        return
    for name, place in store.by_slot.items():
        if action.place in (None, name) and action.sku in (None, place.sku.sku):
            store.refill(place, action.takes_s, at_s)


def _befall_bay(store: "Store", action: Theft | Drift, place: Place, at_s: float) -> None:
    if isinstance(action, Drift):
        store.tell_fault(action, action.place, at_s, action.for_s)
        place.bay.creep(at_s, action.g_per_hour)
        store.schedule(at_s + action.for_s, lambda now_s: place.bay.creep(now_s, 0.0))
        return
    place.bay.touch(at_s, at_s + SWEEP_S, shopper.HAND_G[1])
    place.busy_until_s = max(place.busy_until_s, at_s + SWEEP_S)
    store.schedule(at_s + SWEEP_S, lambda now_s: _steal(store, action, place, now_s))


def _steal(store: "Store", action: Theft, place: Place, at_s: float) -> None:
    taken = place.bay.take(place.bay.count if action.units is None else action.units, at_s)
    store.tell(at_s, place, EventKind.THEFT, -len(taken))
    store.tell_fault(action, action.place, at_s, 0.0)
    store.notice_low(place, at_s)


def _befall_controller(store: "Store", action: Warm | Dead | Slow, controller: ShelfController, at_s: float) -> None:
    store.tell_fault(action, action.place, at_s, action.for_s)
    until_s = at_s + action.for_s
    match action:
        case Dead():
            controller.die(until_s)
        case Slow():
            controller.lateness = Lateness(action.delay_s, until_s)
        case Warm():
            thermometer = controller.thermometer
            usual_c = controller.plan.temperature_celsius
            thermometer.head_for(action.to_celsius, at_s, action.rise_s)
            store.schedule(until_s, lambda now_s: thermometer.head_for(usual_c, now_s, action.rise_s))


def _befall_reading(store: "Store", action: Spike | Stuck, at_s: float) -> None:
    place, controller = store.by_slot.get(action.place), store.by_device.get(action.place)
    if place is None and controller is None:
        return
    for_s = action.for_s if isinstance(action, Stuck) else 0.0
    store.tell_fault(action, action.place, at_s, for_s)
    match action:
        case Spike() if place is not None:
            place.bay.spike(action.value)
        case Spike() if controller is not None:
            controller.thermometer.spike(action.value)
        case Stuck() if place is not None:
            place.bay.stick(at_s, at_s + for_s)
        case Stuck() if controller is not None:
            controller.stick(at_s, at_s + for_s)
