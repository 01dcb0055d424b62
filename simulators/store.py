"""A store: shelves, the people before them, and the story of the plan. Pure and seeded; time is an argument.

``Store.step(at_s)`` plays everything that is due; ``drain()`` hands over what happened. Two stores of the same plan,
started at the same time, have the same truth, however often they are stepped and read in between.
"""

import heapq
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from simulators import shopper
from simulators.controller import Place, ShelfController
from simulators.plan import Plan, StorePlan, bays
from simulators.play_story import play_action
from simulators.shelf_physics import Foreign
from simulators.story import AnyAction
from simulators.truth import EventKind, TruthEvent, TruthFault, TruthLine

HORIZON_S: Final = 3_600.0
"""Arrivals are drawn this far ahead."""
GAP_S: Final = 3.0
"""A shopper waits so long after the one before has left the bay."""
PATIENCE_S: Final = 30.0
"""… and gives up when the wait is longer."""
ARMFUL: Final = 6
"""Units that staff lays down at a time."""
DUE_MAX: Final = 100_000

Step = Callable[[float], None]


class Store:
    """All that happens at one site of a plan from ``at_s`` (seconds since 1970 UTC) on."""

    def __init__(self, plan: Plan, store: StorePlan, at_s: float) -> None:
        self.plan = store
        seed = f"{plan.seed}/{store.site}"
        skus = {sku.sku: sku for sku in plan.skus}
        wheres = [where for where in bays(plan) if where.store is store]
        self.controllers = [
            ShelfController([where for where in wheres if where.shelf is shelf], skus, seed, at_s)
            for gateway in store.gateways
            for shelf in gateway.shelves
        ]
        self.by_device = {controller.name: controller for controller in self.controllers}
        self._places = [place for controller in self.controllers for place in controller.places.values()]
        self.by_slot = {f"{place.where.gateway.gateway}/{place.where.slot}": place for place in self._places}
        self._rng = Random(seed)
        self._factors = dict.fromkeys(skus, 1.0)
        self._weights = self._pick_weights()
        self._usual_weight = sum(self._weights)
        self._due: list[tuple[float, int, Step]] = []
        self._scheduled = 0
        self._arrivals = 0
        self._truth: list[TruthLine] = []
        self._frozen = False
        for place in self._places:
            self.tell(at_s, place, EventKind.COUNT, place.bay.count)
            self.notice_low(place, at_s)
        for action in plan.story:
            self.schedule(at_s + action.at_s, partial(play_action, self, action))
        self._expect_shopper(at_s)

    def step(self, at_s: float) -> None:
        """Play all that is due until ``at_s``, each at its own time. A time that goes back is ignored."""
        while self._due and self._due[0][0] <= at_s:
            due_s, _, play = heapq.heappop(self._due)
            play(due_s)

    def drain(self) -> list[TruthLine]:
        """What happened since the last call, in order."""
        truth, self._truth = self._truth, []
        return truth

    def freeze(self) -> None:
        """From now on nothing changes any more: no shoppers, staff or story. Readings go on."""
        self._frozen = True
        self._due.clear()

    def tare(self, controller: ShelfController, bay: int, at_s: float) -> None:
        """The controller was told to make the present load of a bay its zero."""
        place = controller.places.get(bay)
        if place is None:
            return
        self.step(at_s)
        place.bay.tare(at_s)
        self.tell(at_s, place, EventKind.TARE, 0)

    # Time

    def schedule(self, at_s: float, play: Step) -> None:
        """Play something at a time, unless the store is frozen."""
        if self._frozen:
            return
        # A few for each shopper who waits, and the story: more means that we schedule in circles.
        assert len(self._due) < DUE_MAX
        self._scheduled += 1
        heapq.heappush(self._due, (at_s, self._scheduled, play))

    # Shoppers

    def _pick_weights(self) -> list[float]:
        return [place.sku.popularity * self._factors[place.sku.sku] for place in self._places]

    def change_demand(self, sku: str, factor: float, at_s: float) -> None:
        """Multiply the demand for an article from now on."""
        self._factors[sku] *= factor
        self._weights = self._pick_weights()
        self._expect_shopper(at_s)

    def _expect_shopper(self, at_s: float) -> None:
        """Draw the next arrival. Whoever was expected before is forgotten (arrivals have no memory)."""
        self._arrivals += 1
        number = self._arrivals
        if self._usual_weight <= 0:
            return
        per_hour = self.plan.shoppers_per_hour * sum(self._weights) / self._usual_weight
        next_s = shopper.next_arrival(
            self._rng, at_s, per_hour, self.plan.hourly, self.plan.utc_offset_h, horizon_s=HORIZON_S
        )

        def arrive(now_s: float) -> None:
            if number == self._arrivals:
                self._shop(now_s)
                self._expect_shopper(now_s)

        def look_again(now_s: float) -> None:
            if number == self._arrivals:
                self._expect_shopper(now_s)

        if next_s <= at_s + HORIZON_S:
            self.schedule(next_s, arrive)
        else:
            self.schedule(at_s + HORIZON_S, look_again)

    def _shop(self, at_s: float) -> None:
        place = self._places[shopper.choose(self._rng, self._weights)]
        wish = shopper.wish(self._rng, self.plan.habits)
        start_s = max(at_s, place.busy_until_s + GAP_S)
        if start_s > at_s + PATIENCE_S:
            self.tell(at_s, place, EventKind.LOST, wish.units)
            return
        pick_s = start_s + wish.reach_s
        place.busy_until_s = pick_s
        self.schedule(start_s, lambda now_s: self._reach(place, wish.reach_s, wish.hand_g, now_s))
        self.schedule(pick_s, lambda now_s: self._pick(place, wish, now_s))

    def _reach(self, place: Place, reach_s: float, hand_g: float, at_s: float) -> None:
        self.by_device[_device(place)].open_door()
        place.bay.touch(at_s, at_s + reach_s, hand_g)

    def _pick(self, place: Place, wish: shopper.Wish, at_s: float) -> None:
        taken = place.bay.take(wish.units, at_s)
        if not taken:
            self.tell(at_s, place, EventKind.LOST, wish.units)
            return
        self.tell(at_s, place, EventKind.SALE, -len(taken))
        self.notice_low(place, at_s)
        if wish.put_back:
            back = taken[: wish.put_back]
            self.schedule(at_s + wish.put_back_after_s, lambda now_s: self._put_back(place, back, now_s))
        elif wish.stray:
            stray = Foreign(place.sku.sku, taken[0])
            self.schedule(at_s + wish.stray_after_s, lambda now_s: self._misplace(place, stray, now_s))

    def _put_back(self, place: Place, units_g: list[float], at_s: float) -> None:
        place.busy_until_s = max(place.busy_until_s, at_s)
        place.bay.put_back(units_g, at_s)
        self.tell(at_s, place, EventKind.PUT_BACK, len(units_g))

    def _misplace(self, source: Place, stray: Foreign, at_s: float) -> None:
        places = self.by_device[_device(source)].places.values()
        others = [place for place in places if place is not source and place.busy_until_s < at_s]
        if not others:
            self._put_back(source, [stray.weight_g], at_s)
            return
        target = self._rng.choice(others)
        if target.sku.sku == stray.sku:
            self._put_back(target, [stray.weight_g], at_s)
            return
        target.busy_until_s = at_s
        target.bay.lay(stray, at_s)
        self.tell(at_s, target, EventKind.MISPLACE, 1, sku=stray.sku)

    # Staff

    def notice_low(self, place: Place, at_s: float) -> None:
        """Staff looks at a bay that has lost units."""
        staff = self.plan.staff
        if staff is None or place.refill_called or place.bay.count > staff.below * place.where.bay.capacity:
            return
        place.refill_called = True
        self.schedule(at_s + staff.after_s, lambda now_s: self.refill(place, staff.takes_s, now_s))

    def refill(self, place: Place, takes_s: float, at_s: float) -> None:
        """Tidy a bay and lay units down by the armful until it is full."""
        start_s = max(at_s, place.busy_until_s + GAP_S)
        missing = place.where.bay.capacity - place.bay.count
        armfuls = [ARMFUL] * (missing // ARMFUL) + ([missing % ARMFUL] if missing % ARMFUL else [])
        place.busy_until_s = start_s + takes_s
        self.schedule(start_s, lambda now_s: self._tidy(place, now_s))
        for number, units in enumerate(armfuls, 1):
            due_s = start_s + takes_s * number / len(armfuls)
            self.schedule(due_s, lambda now_s, units=units: self._lay_down(place, units, now_s))  # type: ignore[misc]
        place.refill_called = bool(missing)

    def _tidy(self, place: Place, at_s: float) -> None:
        for stray in place.bay.clear_foreign(at_s):
            self.tell(at_s, place, EventKind.TIDY, -1, sku=stray.sku)

    def _lay_down(self, place: Place, units: int, at_s: float) -> None:
        # A put-back may have come in between.
        units = min(units, place.where.bay.capacity - place.bay.count)
        place.refill_called = False
        if units > 0:
            place.bay.put(units, at_s)
            self.tell(at_s, place, EventKind.RESTOCK, units)

    # Truth

    def tell(self, at_s: float, place: Place, kind: EventKind, units: int, *, sku: str = "") -> None:
        """Note what happened at a bay; ``sku`` when it is not the bay's own."""
        where = place.where
        self._truth.append(
            TruthEvent(
                round(at_s * 1000),
                where.store.site,
                where.gateway.gateway,
                where.slot,
                sku or place.sku.sku,
                kind,
                units,
                place.bay.count,
            )
        )

    def tell_fault(self, action: AnyAction, place: str, at_s: float, for_s: float) -> None:
        """Note that an action of the story began."""
        kind = type(action).__name__.lower()
        self._truth.append(TruthFault(round(at_s * 1000), kind, place, round((at_s + for_s) * 1000)))


def _device(place: Place) -> str:
    return f"{place.where.gateway.gateway}/{place.where.shelf.device}"
