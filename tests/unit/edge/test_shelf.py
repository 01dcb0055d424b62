"""A slot's weight becomes what happened there, exactly, under noise, hands and bags."""

import itertools
import math

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contracts.frames import EventKind
from edge_agent.shelf.decision import Decision
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan
from edge_agent.shelf.tracker import SlotTracker
from tests.unit.edge.shelf_trace import PERIOD_MS, Trace, shopping_day

CAPACITY = 20
DECIDED_WITHIN_MS = 2_000


def follow(trace: Trace, memory: SlotMemory | None = None) -> list[Decision]:
    tracker = new_tracker(trace, memory)
    return [decision for t_ms, weight_g in trace.samples for decision in tracker.step(t_ms, weight_g)]


def new_tracker(trace: Trace, memory: SlotMemory | None = None) -> SlotTracker:
    numbers = itertools.count(1)
    plan = SlotPlan("s01-b1", trace.article, CAPACITY, (trace.neighbour,))
    return SlotTracker(plan, lambda: str(next(numbers)), memory)


def changes(decisions: list[Decision]) -> list[tuple[str, int]]:
    return [(d.kind.value, d.units) for d in decisions if d.why != "count"]


def test_the_first_plateau_gives_the_opening_count() -> None:
    (opening,) = follow(Trace().fill(14).settle(5.0))
    assert (opening.kind, opening.units, opening.on_shelf, opening.why) == (EventKind.ADJUST, 14, 14, "count")
    assert opening.conf > 0.8


def test_a_count_that_is_known_is_not_told_again() -> None:
    assert follow(Trace().fill(14).settle(5.0), SlotMemory(14)) == []


@pytest.mark.parametrize("units", [1, 2, 3, 6])
def test_a_sale_is_told_once_with_its_units(units: int) -> None:
    decisions = follow(Trace().fill(14).settle(10.0).take(units).settle(20.0))
    assert changes(decisions) == [("sale", -units)]
    assert decisions[-1].on_shelf == 14 - units


def test_a_sale_is_decided_within_two_seconds_of_the_plateau() -> None:
    trace = Trace().fill(14).settle(10.0).take(1)
    plateau_ms = trace.now_ms
    decisions = follow(trace.settle(20.0))
    assert plateau_ms - 1_000 <= decisions[-1].t_ms <= plateau_ms + 1_000
    assert decisions[-1].decided_ms - plateau_ms <= DECIDED_WITHIN_MS


def test_a_put_back_within_twenty_seconds_names_its_sale() -> None:
    decisions = follow(Trace().fill(14).settle(10.0).take(2).settle(8.0).put_back(1).settle(10.0))
    assert changes(decisions) == [("sale", -2), ("put_back", 1)]
    assert decisions[-1].of == decisions[-2].id


def test_a_rise_long_after_a_sale_is_a_restock() -> None:
    decisions = follow(Trace().fill(8).settle(10.0).take(1).settle(40.0).restock(6).settle(30.0))
    assert changes(decisions) == [("sale", -1), ("restock", 6)]


def test_a_hand_and_a_spike_are_nothing() -> None:
    trace = Trace().fill(14).settle(10.0).hand(3.0).settle(10.0)
    trace.samples[20] = (trace.samples[20][0], trace.samples[20][1] + 4_000.0)
    assert changes(follow(trace.settle(10.0))) == []


@pytest.mark.parametrize("grams", [480.0, 1_234.0, 2_500.0])
def test_a_bag_that_is_put_down_and_taken_up_again_is_nothing(grams: float) -> None:
    assert changes(follow(Trace().fill(14).settle(10.0).bag(grams, 12.0).settle(20.0))) == []


def test_a_sale_beside_a_bag_is_seen() -> None:
    trace = Trace().fill(14).settle(10.0)
    trace.bag_g = 1_234.0
    trace.settle(6.0).take(1).settle(6.0)
    trace.bag_g = 0.0
    assert changes(follow(trace.settle(20.0))) == [("sale", -1)]


def test_a_load_that_nothing_explains_is_unknown_with_its_grams_and_its_leaving_too() -> None:
    decisions = follow(Trace().fill(14).settle(10.0).bag(480.0, 40.0).settle(10.0))
    assert changes(decisions) == [("unknown", 0), ("unknown", 0)]
    laid, left = decisions[-2:]
    assert laid.delta_g == pytest.approx(480.0, abs=10.0)
    assert laid.delta_g + left.delta_g == pytest.approx(0.0, abs=10.0)


def test_an_article_of_the_neighbour_is_named_and_not_counted() -> None:
    decisions = follow(Trace().fill(10).settle(10.0).lay_foreign().settle(40.0).take_foreign().settle(20.0))
    assert [(d.kind, d.units, dict(d.other)) for d in decisions[1:]] == [
        (EventKind.ADJUST, 0, {"tea": 1}),
        (EventKind.ADJUST, 0, {"tea": -1}),
    ]


def test_slow_drift_is_no_event() -> None:
    trace = Trace(drift_g_per_h=600.0).fill(10).settle(3_600.0)
    assert changes(follow(trace)) == []


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1.0, 4.0, 10.0]), st.lists(st.integers(1, 3), max_size=4))
def test_the_count_follows_the_shelf(seed: int, noise_g: float, picks: list[int]) -> None:
    trace = Trace(seed=seed, noise_g=noise_g).fill(14).settle(10.0)
    for units in picks:
        before_g = sum(trace.items)
        trace.take(units).settle(12.0)
        taken_g = before_g - sum(trace.items)
        # Units beyond 3 standard deviations are unknown by rule, whatever was taken.
        assume(abs(taken_g - units * trace.article.unit_g) <= 2.5 * trace.article.sd_g * math.sqrt(units))
    decisions = follow(trace)
    assert decisions[-1].on_shelf == 14 - sum(picks)


@pytest.mark.parametrize(
    ("unit_g", "beside_g", "bags_per_h"),
    # A neighbour of 250 g would be three of the light units, give or take: nobody could tell them apart.
    [(330.0, 250.0, 0.0), (330.0, 250.0, 2.0), (88.0, 130.0, 1.0)],
)
def test_over_a_day_of_shoppers_99_percent_of_sales_and_restocks_are_exact(
    unit_g: float, beside_g: float, bags_per_h: float
) -> None:
    exact = told = true = late = 0
    for seed in range(4):
        own, beside = Article("cola", unit_g, 3.0), Article("tea", beside_g, 3.0)
        trace = shopping_day(seed, 3.0, article=own, neighbour=beside, bags_per_h=bags_per_h)
        decided = [d for d in follow(trace) if d.kind in {EventKind.SALE, EventKind.RESTOCK}]
        wanted = [each for each in trace.truth if each.kind != "put_back"]
        told += len(decided)
        true += len(wanted)
        for happened in wanted:
            found = [
                d
                for d in decided
                if (d.kind.value, d.units) == (happened.kind, happened.units)
                and abs(d.t_ms - happened.t_ms) <= 3 * DECIDED_WITHIN_MS
            ]
            exact += bool(found)
            late += not any(d.decided_ms - happened.t_ms <= DECIDED_WITHIN_MS for d in found)
    assert true > 400
    assert exact / true >= 0.99
    assert late / true <= 0.05
    assert (told - exact) / true <= 0.005


def test_a_restart_keeps_the_count_and_sees_what_was_sold_meanwhile() -> None:
    before = Trace().fill(14).settle(10.0).take(1).settle(20.0)
    tracker = new_tracker(before)
    for t_ms, weight_g in before.samples:
        tracker.step(t_ms, weight_g)
    kept = msgspec.json.decode(msgspec.json.encode(tracker.memory), type=SlotMemory)
    assert kept.on_shelf == 13

    after = Trace(seed=1)
    after.items = before.items[:-2]  # two were sold while the agent was down
    decisions = follow(after.settle(20.0), kept)
    assert [(d.kind, d.units, d.on_shelf, d.why) for d in decisions] == [(EventKind.SALE, -2, 11, "while_away")]


def test_a_restart_without_a_change_says_nothing() -> None:
    trace = Trace().fill(14).settle(10.0)
    tracker = new_tracker(trace)
    for t_ms, weight_g in trace.samples:
        tracker.step(t_ms, weight_g)
    again = Trace(seed=1)
    again.items = trace.items
    assert follow(again.settle(60.0), tracker.memory) == []


def test_noise_that_grows_is_learnt() -> None:
    quiet, loud = Trace(noise_g=1.0).fill(14).settle(60.0), Trace(noise_g=12.0)
    loud.items = list(quiet.items)
    loud.settle(60.0).take(1).settle(20.0)
    tracker = new_tracker(quiet)
    for t_ms, weight_g in quiet.samples:
        tracker.step(t_ms, weight_g)
    later = [(quiet.now_ms + PERIOD_MS + t_ms, weight_g) for t_ms, weight_g in loud.samples]
    decisions = [decision for t_ms, weight_g in later for decision in tracker.step(t_ms, weight_g)]
    assert changes(decisions) == [("sale", -1)]


@pytest.mark.parametrize("noise_g", [1.0, 2.0, 10.0])
@pytest.mark.parametrize(("own_g", "beside_g"), [(350.0, 344.0), (352.0, 347.0), (250.0, 250.5)])
def test_neighbours_of_nearly_the_same_weight_are_never_told_as_swapped(
    own_g: float, beside_g: float, noise_g: float
) -> None:
    own, beside = Article("cola-330", own_g, 2.0), Article("zero-330", beside_g, 2.0)
    trace = shopping_day(5, 3.0, noise_g=noise_g, article=own, neighbour=beside, strays=False)
    decisions = follow(trace)
    assert [d for d in decisions if d.other] == []
    told = [d for d in decisions if d.kind in {EventKind.SALE, EventKind.RESTOCK, EventKind.PUT_BACK}]
    assert len(trace.truth) > 100
    assert all(any(abs(d.t_ms - each.t_ms) <= 3 * DECIDED_WITHIN_MS for each in trace.truth) for d in told)


def test_units_that_are_exchanged_for_others_of_the_article_are_nothing() -> None:
    trace = Trace(noise_g=1.0).fill(10).settle(20.0)
    for heavier_g in (-4.0, 5.0, -5.0, 6.0):
        trace.hand(1.0)
        trace.items[0] += heavier_g
        trace.settle(30.0)
    assert changes(follow(trace)) == []


def test_a_refill_that_was_not_decided_yet_and_a_sale_from_it_are_both_told() -> None:
    trace = Trace(noise_g=2.0).fill(4).settle(20.0).restock(10)
    trace.items[-1] += 20.0  # fits badly, so it must stay
    decisions = follow(trace.settle(8.0).take(1).settle(40.0))
    assert sorted(changes(decisions)) == [("restock", 10), ("sale", -1)]
    assert decisions[-1].on_shelf == 13


def test_a_load_that_was_taken_for_a_refill_is_removed_again_though_something_was_sold_meanwhile() -> None:
    trace = Trace(noise_g=2.0).fill(8).settle(20.0)
    trace.bag_g = 5 * trace.article.unit_g + 1.0
    trace.settle(10.0).take(1).settle(10.0)
    trace.bag_g = 0.0
    decisions = follow(trace.settle(20.0))
    assert sorted(changes(decisions)) == [("adjust", -5), ("restock", 5), ("sale", -1)]
    told = next(d for d in decisions if d.kind is EventKind.RESTOCK)
    assert (decisions[-1].of, decisions[-1].why) == (told.id, "undone")


def test_a_swap_is_told_when_it_stays() -> None:
    trace = Trace(noise_g=2.0).fill(10).settle(20.0).take(1).lay_foreign()
    decisions = follow(trace.settle(40.0))
    assert [(d.kind, d.units, dict(d.other)) for d in decisions[1:]] == [(EventKind.SALE, -1, {"tea": 1})]
    assert decisions[-1].decided_ms - decisions[-1].t_ms >= 20_000


def test_a_shelf_that_is_read_every_ten_seconds_sells_and_is_refilled() -> None:
    trace = Trace(noise_g=1.0).fill(14).settle(600.0).take(2).settle(600.0).restock(3).settle(900.0)
    tracker = new_tracker(trace)
    seldom = [sample for sample in trace.samples if sample[0] % 10_000 == 0]
    decisions = [decision for t_ms, weight_g in seldom for decision in tracker.step(t_ms, weight_g)]
    assert changes(decisions) == [("sale", -2), ("restock", 3)]


def test_what_a_fast_shelf_did_not_see_for_a_while_is_a_gap() -> None:
    before = Trace().fill(14).settle(10.0)
    away = Trace(seed=1)
    away.items = before.items[:-2]
    away.settle(20.0)
    later = [(t_ms + before.now_ms + 60_000, weight_g) for t_ms, weight_g in away.samples]
    tracker = new_tracker(before)
    decisions = [d for t_ms, weight_g in before.samples + later for d in tracker.step(t_ms, weight_g)]
    assert changes(decisions) == [("sale", -2)]
    assert decisions[-1].t_ms == later[0][0], "no plateau spans the gap"


def test_after_a_tare_that_failed_a_sale_of_everything_is_a_sale() -> None:
    before, after = Trace().fill(2).settle(10.0), Trace(seed=1).fill(2).settle(1.0).take(2).settle(20.0)
    tracker = new_tracker(before)
    for t_ms, weight_g in before.samples:
        tracker.step(t_ms, weight_g)
    tracker.tare(before.now_ms)
    tracker.tare_failed()
    told = [d for t_ms, weight_g in after.samples for d in tracker.step(before.now_ms + t_ms, weight_g)]
    assert changes(told) == [("sale", -2)]
