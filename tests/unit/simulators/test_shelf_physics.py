import statistics
from random import Random

import pytest

from simulators.shelf_physics import Bay, CellTraits, Foreign, Thermometer

QUIET = CellTraits(noise_sd_g=0.0, drift_g_per_hour=0.0, overload_g=10_000.0)


def bay(traits: CellTraits = QUIET, *, sd_g: float = 0.0, seed: int = 1) -> Bay:
    return Bay(unit_weight_g=330.0, unit_weight_sd_g=sd_g, traits=traits, rng=Random(seed), at_s=0.0)


def test_a_settled_bay_reads_what_lies_on_it() -> None:
    shelf = bay()
    shelf.put(5, 0.0)
    assert shelf.reading_g(10.0) == pytest.approx(1650)
    assert len(shelf.take(2, 20.0)) == 2
    assert shelf.reading_g(30.0) == pytest.approx(990)
    assert shelf.count == 3
    assert shelf.weight_g == pytest.approx(990)


def test_after_a_pick_the_cell_swings_from_the_old_load_to_the_new_one() -> None:
    shelf = bay()
    shelf.put(5, 0.0)
    shelf.take(1, 10.0)
    assert shelf.reading_g(10.0) == pytest.approx(1650)
    assert shelf.reading_g(10.125) < 1320
    assert shelf.reading_g(11.0) == pytest.approx(1320, abs=1)


def test_units_that_come_back_have_the_weight_that_they_had() -> None:
    shelf = bay(sd_g=10.0)
    shelf.put(6, 0.0)
    before_g = shelf.weight_g
    taken = shelf.take(3, 10.0)
    shelf.put_back(taken, 20.0)
    assert shelf.weight_g == pytest.approx(before_g)
    assert len(set(taken)) == 3


def test_more_than_there_is_cannot_be_taken() -> None:
    shelf = bay()
    shelf.put(2, 0.0)
    assert len(shelf.take(5, 10.0)) == 2
    assert shelf.take(1, 20.0) == []
    assert shelf.weight_g == 0.0


def test_a_strayed_article_weighs_but_is_no_unit_of_the_slot() -> None:
    shelf = bay()
    shelf.put(1, 0.0)
    shelf.lay(Foreign("tea", 500.0), 10.0)
    assert shelf.count == 1
    assert shelf.reading_g(20.0) == pytest.approx(830)
    assert shelf.clear_foreign(30.0) == (Foreign("tea", 500.0),)
    assert shelf.reading_g(40.0) == pytest.approx(330)


def test_a_hand_rests_only_while_it_is_there() -> None:
    shelf = bay()
    shelf.touch(10.0, 11.0, 200.0)
    assert [shelf.reading_g(at_s) for at_s in (9.9, 10.5, 11.0)] == pytest.approx([0.0, 200.0, 0.0])


def test_noise_has_the_spread_that_was_asked_for_and_no_bias() -> None:
    shelf = bay(CellTraits(noise_sd_g=10.0, drift_g_per_hour=0.0))
    readings = [shelf.reading_g(100.0 + at) for at in range(4_000)]
    assert statistics.mean(readings) == pytest.approx(0, abs=0.6)
    assert statistics.stdev(readings) == pytest.approx(10, rel=0.05)


def test_reading_a_bay_does_not_change_what_the_next_unit_weighs() -> None:
    read, unread = bay(sd_g=5.0), bay(sd_g=5.0)
    for at in range(100):
        read.reading_g(float(at))
    read.put(10, 200.0)
    unread.put(10, 200.0)
    assert read.weight_g == unread.weight_g


def test_drift_creeps_and_a_tare_takes_it_away() -> None:
    shelf = bay(CellTraits(noise_sd_g=0.0, drift_g_per_hour=2.0))
    assert shelf.reading_g(3 * 3600.0) == pytest.approx(6)
    shelf.creep(3 * 3600.0, 8.0)
    assert shelf.reading_g(4 * 3600.0) == pytest.approx(16)
    shelf.creep(4 * 3600.0, 0.0)
    assert shelf.reading_g(5 * 3600.0) == pytest.approx(18)
    shelf.tare(5 * 3600.0)
    assert shelf.reading_g(5 * 3600.0) == pytest.approx(0)


def test_a_spike_is_the_next_reading_and_no_other() -> None:
    shelf = bay()
    shelf.spike(-4_000.0)
    assert [shelf.reading_g(1.0), shelf.reading_g(1.1)] == [-4_000.0, 0.0]


def test_a_stuck_cell_repeats_itself_while_units_leave() -> None:
    shelf = bay(CellTraits(noise_sd_g=3.0))
    shelf.put(4, 0.0)
    shelf.stick(10.0, 20.0)
    first_g = shelf.reading_g(10.0)
    shelf.take(2, 12.0)
    assert shelf.reading_g(19.9) == first_g
    assert shelf.reading_g(20.0) == pytest.approx(660, abs=20)


def test_overload_is_told() -> None:
    shelf = bay()
    shelf.put(30, 0.0)
    assert not shelf.overloaded(10.0)
    shelf.put(1, 20.0)
    assert shelf.overloaded(30.0)


def test_a_warm_cooler_nears_its_level_and_comes_back() -> None:
    cooler = Thermometer(4.0, Random(1), 0.0)
    cooler.head_for(15.0, 100.0, rise_s=30.0)
    assert cooler.level_c(100.0) == pytest.approx(4)
    assert cooler.level_c(130.0) == pytest.approx(15, abs=0.6)
    cooler.head_for(4.0, 200.0, rise_s=30.0)
    assert cooler.level_c(300.0) == pytest.approx(4, abs=0.01)
    assert cooler.reading_c(300.0) == pytest.approx(4, abs=0.6)
