from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest

from simulators.plan import BayPlan, GatewayPlan, Habits, Plan, ShelfPlan, Sku, Staff, StorePlan
from simulators.shelf_physics import TOUCHES_MAX
from simulators.store import Store
from simulators.story import Drift, Restock, Rush, Theft, Warm
from simulators.truth import EventKind, TruthEvent, TruthFault, TruthLine, line

START_S = 1_767_225_600.0
USUAL = Habits()
SKUS = (Sku("cola", 345.0, 2.0), Sku("tea", 520.0, 3.0, popularity=2.0), Sku("milk", 1040.0, 4.0))


def plan(*story: Any, staff: Staff | None = None, shoppers_per_hour: float = 600.0, habits: Habits = USUAL) -> Plan:
    shelves = tuple(
        ShelfPlan(
            f"s0{unit}",
            unit,
            tuple(BayPlan(bay, SKUS[bay - 1].sku, 20, 24) for bay in (1, 2, 3)),
            noise_sd_g=0.0,
            drift_g_per_hour=0.0,
            door=unit == 1,
        )
        for unit in (1, 2)
    )
    store = StorePlan(
        "shop", (GatewayPlan("gw1", 0, shelves),), shoppers_per_hour=shoppers_per_hour, staff=staff, habits=habits
    )
    return Plan("acme", SKUS, (store,), seed=11, story=story)


def open_store(given: Plan) -> Store:
    return Store(given, given.stores[0], START_S)


def play(store: Store, seconds: float, step_s: float = 10.0) -> list[TruthLine]:
    for number in range(int(seconds / step_s)):
        store.step(START_S + (number + 1) * step_s)
    return store.drain()


def events(truth: list[TruthLine]) -> list[TruthEvent]:
    return [entry for entry in truth if isinstance(entry, TruthEvent)]


def test_the_truth_is_the_same_however_often_the_store_is_stepped_and_read() -> None:
    given = plan(Rush(at_s=600, sku="tea", factor=5, for_s=300), staff=Staff(after_s=30.0))
    coarse, fine = open_store(given), open_store(given)
    rng = Random(5)
    at_s = START_S
    while at_s < START_S + 3600:
        at_s = min(at_s + rng.uniform(0, 3), START_S + 3600)
        fine.step(at_s)
        for controller in fine.controllers:
            for place in controller.places.values():
                place.bay.reading_g(at_s)
    coarse.step(START_S + 3600)
    assert coarse.drain() == fine.drain()


def test_another_seed_gives_another_truth() -> None:
    given = plan()
    other = msgspec.structs.replace(given, seed=12)
    assert play(open_store(given), 600) != play(open_store(other), 600)


def test_the_truth_adds_up_to_what_lies_there_and_weighs() -> None:
    given = plan(
        Theft(at_s=700, place="gw1/s01-b2", units=5),
        Restock(at_s=1500, sku="milk", takes_s=15),
        staff=Staff(below=0.3, after_s=60.0, takes_s=12.0),
        habits=Habits(put_back=0.2, mixed=0.2),
    )
    store = open_store(given)
    truth = events(play(store, 4 * 3600))
    kinds = Counter(event.kind for event in truth)
    assert all(kinds[kind] > 0 for kind in EventKind if kind is not EventKind.TARE), kinds
    counts: Counter[str] = Counter()
    strays: Counter[str] = Counter()
    for event in truth:
        if event.kind in {EventKind.MISPLACE, EventKind.TIDY}:
            strays[event.slot] += event.units
        elif event.kind is not EventKind.LOST:
            counts[event.slot] += event.units
        assert event.on_shelf == counts[event.slot]
    weights = {sku.sku: sku.unit_weight_g for sku in SKUS}
    for controller in store.controllers:
        for place in controller.places.values():
            slot = place.where.slot
            assert place.bay.count == counts[slot]
            assert len(place.bay.foreign) == strays[slot]
            expected_g = place.bay.count * weights[place.sku.sku] + sum(
                weights[article.sku] for article in place.bay.foreign
            )
            assert place.bay.weight_g == pytest.approx(expected_g, abs=5 * 4.0 * 24**0.5)
            assert place.bay.reading_g(START_S + 5 * 3600) == pytest.approx(place.bay.weight_g, abs=1e-6)


def test_popular_articles_sell_more() -> None:
    sold: Counter[str] = Counter()
    for event in events(play(open_store(plan(staff=Staff(after_s=1.0, takes_s=2.0))), 6 * 3600)):
        if event.kind in {EventKind.SALE, EventKind.LOST}:
            sold[event.sku] += abs(event.units)
    assert sold["tea"] / sold["cola"] == pytest.approx(2, rel=0.15)


def test_a_rush_multiplies_the_demand_for_its_article_only() -> None:
    given = plan(Rush(at_s=3600, sku="cola", factor=4, for_s=3600), staff=Staff(after_s=1.0, takes_s=2.0))
    wanted: dict[tuple[str, int], int] = Counter()
    for event in events(play(open_store(given), 3 * 3600)):
        if event.kind in {EventKind.SALE, EventKind.LOST}:
            wanted[event.sku, int((event.t_ms / 1000 - START_S) // 3600)] += 1
    usual = (wanted["cola", 0] + wanted["cola", 2]) / 2
    assert wanted["cola", 1] / usual == pytest.approx(4, rel=0.25)
    assert wanted["tea", 1] / wanted["tea", 0] == pytest.approx(1, rel=0.25)


def test_an_empty_bay_sells_nothing_and_says_what_was_lost() -> None:
    truth = events(play(open_store(plan()), 2 * 3600))
    assert all(event.on_shelf >= 0 for event in truth)
    last = {event.slot: event for event in truth}
    assert all(event.on_shelf == 0 and event.kind is EventKind.LOST for event in last.values())


def test_staff_fills_low_bays_so_that_stock_does_not_end() -> None:
    truth = events(play(open_store(plan(staff=Staff(below=0.25, after_s=30, takes_s=10))), 3 * 3600))
    filled = [event for event in truth if event.kind is EventKind.RESTOCK]
    assert {event.slot for event in filled} == {f"s0{unit}-b{bay}" for unit in (1, 2) for bay in (1, 2, 3)}
    assert max(event.on_shelf for event in filled) == 24
    assert all(event.units <= 6 for event in filled)


def test_a_theft_takes_its_units_at_once_and_is_named() -> None:
    truth = play(open_store(plan(Theft(at_s=60, place="gw1/s02-b1"), shoppers_per_hour=0)), 120)
    (stolen,) = [event for event in events(truth) if event.kind is EventKind.THEFT]
    assert (stolen.slot, stolen.units, stolen.on_shelf) == ("s02-b1", -20, 0)
    (named,) = [entry for entry in truth if isinstance(entry, TruthFault)]
    assert (named.kind, named.place) == ("theft", "gw1/s02-b1")


def test_a_restock_fills_what_it_names_within_its_time() -> None:
    truth = events(play(open_store(plan(Restock(at_s=60, place="gw1/s02-b1", takes_s=30), shoppers_per_hour=0)), 200))
    filled = [event for event in truth if event.kind is EventKind.RESTOCK]
    assert {event.slot for event in filled} == {"s02-b1"}
    assert sum(event.units for event in filled) == 4
    assert START_S + 60 < filled[-1].t_ms / 1000 <= START_S + 91


def test_doors_open_once_a_shopper_and_only_where_there_are_doors() -> None:
    store = open_store(plan(staff=Staff(after_s=1.0, takes_s=2.0)))
    truth = events(play(store, 3600))
    tries = [event for event in truth if event.kind is EventKind.SALE and event.slot.startswith("s01")]
    with_door, without = store.controllers
    assert with_door.door_openings >= len(tries) > 0
    assert without.door_openings == 0


def test_nothing_changes_after_a_freeze() -> None:
    store = open_store(plan(staff=Staff(after_s=1.0)))
    store.step(START_S + 600)
    store.drain()
    store.freeze()
    assert play(store, 7200) == []


def test_a_warm_spell_and_a_drift_end_when_the_plan_says() -> None:
    story = (
        Warm(at_s=60, place="gw1/s01", to_celsius=30.0, for_s=300, rise_s=30),
        Drift(at_s=60, place="gw1/s02-b3", g_per_hour=3600.0, for_s=100),
    )
    store = open_store(plan(*story, shoppers_per_hour=0))
    store.step(START_S + 200)
    thermometer = store.controllers[0].thermometer
    assert thermometer.level_c(START_S + 200) == pytest.approx(30, abs=0.1)
    store.step(START_S + 1000)
    assert thermometer.level_c(START_S + 1000) == pytest.approx(21, abs=0.1)
    drifted = store.controllers[1].places[3].bay
    assert drifted.reading_g(START_S + 1000) - drifted.weight_g == pytest.approx(100, abs=0.1)


def test_truth_lines_have_the_keys_that_the_brief_names() -> None:
    truth = play(open_store(plan(Theft(at_s=5, place="gw1/s01-b1", units=1))), 20)
    event = next(msgspec.json.decode(line(entry)) for entry in truth if isinstance(entry, TruthEvent))
    fault = next(msgspec.json.decode(line(entry)) for entry in truth if isinstance(entry, TruthFault))
    assert list(event) == ["t_ms", "site", "gateway", "slot", "sku", "kind", "units", "on_shelf"]
    assert list(fault) == ["t_ms", "kind", "place", "end_ms"]


def test_a_month_later_the_shelves_still_agree_with_the_truth_and_nothing_has_piled_up() -> None:
    given = plan(staff=Staff(below=0.3, after_s=300.0, takes_s=20.0), shoppers_per_hour=40.0)
    store = open_store(given)
    month_s = 30 * 86_400.0
    truth = events(play(store, month_s, step_s=3_600.0))
    last = {event.slot: event.on_shelf for event in truth}
    for controller in store.controllers:
        assert controller.uptime_s(START_S + month_s) == month_s
        for place in controller.places.values():
            place.bay.reading_g(START_S + month_s)
            assert place.bay.count == last[place.where.slot]
            assert place.bay.reading_g(START_S + month_s + 60) == pytest.approx(place.bay.weight_g, abs=1e-6)
            assert len(place.bay._touches) <= TOUCHES_MAX
    assert len(truth) > 30 * 24 * 40
    assert len(store._due) < 100
