"""Each kind of anomaly at a site: found when it is there, told once, closed when it is over."""

import math
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from contracts.facts import AnomalyKind
from contracts.frames import EventKind
from stream.facts import Columns
from stream.watch.finding import HOUR_US, SECOND_US, Finding, Place, Profile
from stream.watch.ledger import Ledger, Move, Promotion, Sale, SlotKey
from stream.watch.watch import Watch

START_US = 1_767_571_200_000_000  # Monday 2026-01-05 00:00 UTC
MINUTE_US = 60_000_000
KEY = SlotKey("gw1", "bay01")
PLACE = Place("acme", "store1", "gw1", "slot", "gw1/bay01")


def scale(number: int, gateway: str = "gw1") -> Profile:
    return Profile("acme", "store1", gateway, f"bay{number:02}.weight_g", "scale", 60.0, None, 0.0, f"bay{number:02}",
                   "cola", 330.0, 24)  # fmt: skip


COOLER = Profile("acme", "store1", "gw1", "c1.temp_c", "cooler", 60.0, 8.0, 1_800.0)


def follow(values: dict[Profile, list[float]], *, across: bool = False) -> list[Finding]:
    """Minute by minute; NaN stands for a reading that does not come."""
    watch, profiles = Watch(across=across), list(values)
    told = []
    for minute in range(len(values[profiles[0]])):
        row = [(n, values[profile][minute]) for n, profile in enumerate(profiles)]
        row = [(n, value) for n, value in row if not math.isnan(value)]
        columns = Columns(
            np.full(len(row), START_US + minute * MINUTE_US, np.int64), np.array([n for n, _ in row], np.int32),
            np.array([value for _, value in row], np.float64), np.zeros(len(row), np.int16),
        )  # fmt: skip
        told += watch.step(columns, profiles.__getitem__)
    return told


def noise(seed: int, minutes: int, level: float = 6_600.0, sd: float = 8.0) -> list[float]:
    rng = Random(seed)
    return [rng.gauss(level, sd) for _ in range(minutes)]


def minute(finding_us: int | None) -> int:
    assert finding_us is not None
    return (finding_us - START_US) // MINUTE_US


def test_a_scale_that_freezes_is_stuck_until_it_moves() -> None:
    values = noise(1, 900)
    values[500:700] = [values[500]] * 200
    opened, closed = follow({scale(1): values})
    assert (opened.kind, opened.place.name) == (AnomalyKind.STUCK_SENSOR, "gw1/bay01.weight_g")
    assert minute(opened.start_us) == 500
    assert minute(opened.detected_us) <= 520
    assert (closed.id, minute(closed.end_us)) == (opened.id, 700)


def test_series_of_one_device_that_freeze_together_are_one_anomaly() -> None:
    weight, temp = noise(1, 800), noise(2, 800, 4.0, 0.3)
    weight[500:600], temp[500:600] = [weight[500]] * 100, [temp[500]] * 100
    other = Profile("acme", "store1", "gw1", "bay01.temp_c", "cooler", 60.0)
    told = follow({scale(1): weight, other: temp})
    assert len([each for each in told if each.end_us is None]) == 1


def test_one_of_two_devices_that_falls_silent_is_a_dropout_of_that_series() -> None:
    silent = noise(1, 300)
    silent[200:260] = [math.nan] * 60
    opened, closed = follow({scale(1): silent, scale(2): noise(2, 300)})
    assert (opened.kind, opened.place.kind) == (AnomalyKind.DROPOUT, "series")
    assert (minute(opened.start_us), minute(closed.end_us)) == (199, 260)


def test_a_whole_gateway_that_falls_silent_is_one_dropout() -> None:
    first, second = noise(1, 300), noise(2, 300)
    first[200:260] = second[200:260] = [math.nan] * 60
    told = follow({scale(1): first, scale(2): second, scale(3, "gw2"): noise(3, 300)}, across=True)
    assert [(each.place.kind, each.place.name) for each in told] == [("gateway", "gw1")] * 2


def test_bays_of_one_controller_fall_silent_as_that_controller() -> None:
    bays = [Profile("acme", "store1", "gw1", f"s01-b{n}.weight_g", "scale", 60.0) for n in (1, 2)]
    first, second = noise(1, 300), noise(2, 300)
    first[200:260] = second[200:260] = [math.nan] * 60
    told = follow({bays[0]: first, bays[1]: second, scale(9): noise(3, 300)})
    assert [(each.place.kind, each.place.name) for each in told] == [("device", "gw1/s01")] * 2


def test_a_series_that_misses_the_return_of_its_gateway_is_watched_again() -> None:
    first, second = noise(1, 400), noise(2, 400)
    first[200:260] = second[200:260] = [math.nan] * 60
    second[260] = math.nan
    second[320:360] = [math.nan] * 40
    told = follow({scale(1): first, scale(2): second, scale(3, "gw2"): noise(3, 400)}, across=True)
    assert [(each.place.name, minute(each.start_us)) for each in told if each.end_us is None] == [
        ("gw1", 199),
        ("gw1/bay02.weight_g", 319),
    ]


def test_a_line_that_loses_readings_one_by_one_is_no_silence() -> None:
    rng = Random(5)
    bays = [Profile("acme", "store1", "gw1", f"s01-b{n}.weight_g", "scale", 60.0) for n in range(1, 6)]
    values = {bay: noise(n, 900) for n, bay in enumerate(bays)}
    for row in values.values():
        row[100:] = [math.nan if rng.random() < 0.35 else value for value in row[100:]]
    told = follow({**values, scale(9): noise(9, 900)})
    assert [each for each in told if each.kind is AnomalyKind.DROPOUT] == []


def test_a_cooler_too_warm_for_longer_than_it_may_be_breaks_the_cold_chain() -> None:
    values = noise(1, 300, 4.0, 0.1)
    values[100:150] = [12.0] * 50
    opened, closed = follow({COOLER: values})
    assert (opened.kind, minute(opened.start_us), minute(opened.detected_us)) == (AnomalyKind.COLD_CHAIN, 100, 131)
    assert minute(closed.end_us) == 150


def test_a_defrost_that_ends_in_time_is_none() -> None:
    values = noise(1, 300, 4.0, 0.1)
    values[100:125] = [12.0] * 25
    assert follow({COOLER: values}) == []


def test_one_cold_reading_does_not_hide_a_warm_cooler() -> None:
    values = noise(1, 300, 4.0, 0.1)
    values[100:150] = [12.0] * 50
    values[120] = 4.0
    assert minute(follow({COOLER: values})[0].detected_us) == 131


def test_a_scale_that_creeps_drifts_although_goods_leave_it() -> None:
    values, rng = noise(1, 60 * 24 * 6), Random(2)
    for at in range(0, len(values), 240):
        step = 330.0 * rng.randint(-2, 2)
        values[at:] = [value + step for value in values[at:]]
    creep = 60 * 24 * 3
    values[creep:] = [value + 8.0 * (n / 60) for n, value in enumerate(values[creep:])]
    told = follow({scale(1): values})
    assert [(each.kind, each.place.name) for each in told] == [(AnomalyKind.DRIFT, "gw1/bay01")]
    assert 0 < minute(told[0].detected_us) - creep < 60 * 24
    assert told[0].evidence["g_per_hour"] == pytest.approx(8.0, abs=3.0)


def test_a_device_that_gets_noisy_is_unlike_its_class() -> None:
    values = noise(1, 60 * 60)
    faulty = 60 * 40
    values[faulty : faulty + 600] = noise(2, 600, sd=90.0)
    others = {scale(n): noise(n, 60 * 60) for n in range(2, 8)}
    opened, closed = follow({scale(1): values, **others})
    assert (opened.kind, opened.place.name) == (AnomalyKind.DEVICE_FAULT, "gw1/bay01")
    assert abs(minute(opened.start_us) - faulty) <= 60
    assert minute(closed.end_us) <= faulty + 780


# ------------------------------------------------------------- units


class Shop:
    """A slot that sells ``rate`` an hour between 8 and 20, and is refilled each morning."""

    def __init__(self, rate: float, seed: int = 1, zone: str = "UTC") -> None:
        self.rng, self.rate = Random(seed), rate
        self.ledger = Ledger()
        self.ledger.zone = ZoneInfo(zone)
        midnight = datetime(2026, 1, 5, tzinfo=self.ledger.zone)
        self.start_us = round(midnight.timestamp()) * SECOND_US
        self.ledger.know(KEY, PLACE, "cola", "bay01.weight_g")
        self.told: list[Finding] = []

    def days(self, first: int, last: int, factor: float = 1.0, *, stolen: tuple[int, int] | None = None) -> None:
        for hour in range(first * 24, last * 24):
            at_us = self.start_us + hour * HOUR_US
            moves, sales = [], []
            if hour % 24 == 6:
                moves.append(Move(at_us, KEY, 40, EventKind.RESTOCK, 100))
            if 8 <= hour % 24 < 20:
                for _ in range(sum(self.rng.random() < self.rate * factor / 20 for _ in range(20))):
                    t_us = at_us + self.rng.randrange(HOUR_US)
                    moves.append(Move(t_us, KEY, -1, EventKind.SALE))
                    sales.append(Sale(t_us + 5 * MINUTE_US, "cola", 1, KEY))
            if stolen is not None and hour == first * 24 + stolen[0]:
                moves.append(Move(at_us + HOUR_US // 2, KEY, -stolen[1], EventKind.SALE))
            self.told += self.ledger.step(moves, sales, at_us + HOUR_US)

    def since_start(self) -> list[tuple[AnomalyKind, int, int]]:
        return [(each.kind, each.start_us - self.start_us, each.detected_us - self.start_us) for each in self.told]

    def kinds(self) -> list[tuple[AnomalyKind, bool]]:
        return [(each.kind, each.end_us is None) for each in self.told]


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Shanghai"])
def test_a_shop_is_judged_by_the_days_of_its_own_clock(zone: str) -> None:
    home, away = Shop(2.0), Shop(2.0, zone=zone)
    for shop in (home, away):
        for monday in range(0, 42, 7):
            shop.days(monday, monday + 5, 0.8)
            shop.days(monday + 5, monday + 7, 2.0)
        shop.days(42, 46, 0.0)
    assert [kind for kind, *_ in home.since_start()] == [AnomalyKind.PHANTOM_INVENTORY]
    assert away.since_start() == home.since_start()


def test_demand_of_a_slow_slot_that_rises_is_told_before_it_is_the_usual_one() -> None:
    told = []
    for seed in range(8):
        shop = Shop(0.8, seed)
        shop.days(0, 21)
        shop.days(21, 42, 1.7)
        told.append((AnomalyKind.DEMAND_SHIFT, True) in shop.kinds())
    assert sum(told) >= 6


def test_a_quiet_month_has_no_anomaly() -> None:
    shop = Shop(2.0)
    shop.days(0, 30)
    assert shop.told == []


def test_units_that_left_and_were_not_sold_are_shrinkage() -> None:
    shop = Shop(1.0)
    shop.days(0, 10)
    shop.days(10, 12, stolen=(12, 6))
    assert shop.kinds() == [(AnomalyKind.SHRINKAGE, True), (AnomalyKind.SHRINKAGE, False)]
    assert shop.told[0].evidence["units"] == 6
    assert shop.told[0].start_us == START_US + (10 * 24 + 12) * HOUR_US + HOUR_US // 2


def test_a_pick_that_is_put_back_is_none() -> None:
    shop = Shop(1.0)
    shop.days(0, 10)
    at_us = START_US + 10 * 24 * HOUR_US
    moves = [Move(at_us, KEY, -3, EventKind.SALE), Move(at_us + 5_000_000, KEY, 3, EventKind.PUT_BACK)]
    assert shop.ledger.step(moves, [], at_us + 5 * HOUR_US) == []


def test_stock_that_nobody_buys_any_more_is_phantom_until_somebody_does() -> None:
    shop = Shop(1.0)
    shop.days(0, 14)
    shop.days(14, 18, factor=0.0)
    shop.days(18, 19)
    assert shop.kinds() == [(AnomalyKind.PHANTOM_INVENTORY, True), (AnomalyKind.PHANTOM_INVENTORY, False)]


@pytest.mark.parametrize(("factor", "way"), [(3.0, "up"), (0.3, "down")])
def test_a_level_that_changes_is_a_demand_shift_until_it_is_back(factor: float, way: str) -> None:
    shop = Shop(2.0)
    shop.days(0, 14)
    shop.days(14, 20, factor=factor)
    shop.days(20, 26)
    assert shop.kinds() == [(AnomalyKind.DEMAND_SHIFT, True), (AnomalyKind.DEMAND_SHIFT, False)]
    assert shop.told[0].evidence["direction"] == way
    assert (shop.told[0].detected_us - START_US) // HOUR_US < 20 * 24


def test_what_a_promotion_sells_is_planned() -> None:
    shop = Shop(2.0)
    shop.ledger.plan([Promotion(START_US + 14 * 24 * HOUR_US, START_US + 20 * 24 * HOUR_US, "cola")])
    shop.days(0, 14)
    shop.days(14, 20, factor=4.0)
    shop.days(20, 26)
    assert shop.told == []


def test_a_slot_whose_scale_is_silent_is_not_judged() -> None:
    shop = Shop(1.0)
    shop.days(0, 14)
    silent = Finding(
        AnomalyKind.DROPOUT, Place("acme", "store1", "gw1", "gateway", "gw1"), START_US, START_US, 0.8, 1.0
    )
    shop.ledger.pause(silent)
    shop.days(14, 18, factor=0.0)
    assert shop.told == []


def test_ids_are_the_same_when_the_same_is_replayed() -> None:
    first, second = Shop(1.0), Shop(1.0)
    for shop in (first, second):
        shop.days(0, 10)
        shop.days(10, 12, stolen=(12, 6))
    assert [each.id for each in first.told] == [each.id for each in second.told]
