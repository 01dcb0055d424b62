"""The watch in the dataflow: what people labelled counts, what was learnt comes back."""

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from contracts.facts import AnomalyKind
from contracts.frames import Quality
from contracts.ids import derived_id
from contracts.presence import Presence, State
from contracts.topics import GatewayAddress
from stream.clean import Gateway
from stream.control_data import ChannelSetting, Slot, Snapshot, strictness_of
from stream.facts import AnomalyRow, Columns, Settled, Sighting, join_columns
from stream.spike import Spike
from stream.watching import SAVE_EVERY, Watching, from_us, key_of_state, restored

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
START_US = 1_767_571_200_000_000
NAMES = {1: ("acme", "g1", "b1.weight_g"), 2: ("acme", "g1", "c1.temp_c")}


@dataclass
class Known:
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(1, {("acme", "g1"): Gateway("s1", revoked=False)}))

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        return NAMES[series_id]


def columns(series: int, values: list[float], first_minute: int = 0) -> Columns:
    n = len(values)
    times = START_US + 60_000_000 * np.arange(first_minute, first_minute + n)
    return Columns(times, np.full(n, series, np.int32), np.array(values, np.float64), np.zeros(n, np.int16))


def noise(n: int) -> list[float]:
    rng = Random(1)
    return [rng.gauss(3_300.0, 6.0) for _ in range(n)]


def feed(watching: Watching, *parts: Columns) -> list[Settled]:
    frames, now = [], NOW
    for part in parts:
        watching.take(part, now)
        now += timedelta(seconds=2)
        frames += watching.take(columns(1, []), now)
    return frames


def anomalies(frames: list[Settled]) -> list[AnomalyRow]:
    return [row for frame in frames for row in frame.anomalies]


STUCK = [3_301.5] * 30


def test_a_stuck_scale_is_told_with_its_site() -> None:
    (row,) = anomalies(feed(Watching(3, Known(), None), columns(1, noise(400) + STUCK)))
    assert (row.kind, row.site, row.place, row.end) == (AnomalyKind.STUCK_SENSOR, "s1", "g1/b1.weight_g", None)


def test_a_place_whose_anomalies_people_refuted_is_judged_more_strictly() -> None:
    known = Known()
    known.snapshot.strictness["acme", AnomalyKind.STUCK_SENSOR, "g1/b1.weight_g"] = strictness_of(0, 6)
    assert anomalies(feed(Watching(3, known, None), columns(1, noise(400) + STUCK))) == []


def of_the_silent(watching: Watching, minutes: range) -> list[AnomalyRow]:
    """What is told while only the second series speaks."""
    return anomalies(feed(watching, columns(2, noise(len(minutes)), first_minute=minutes.start)))


def test_a_dropout_that_labels_keep_back_is_told_when_they_end_and_never_when_it_is_over_by_then() -> None:
    known, place = Known(), ("acme", AnomalyKind.DROPOUT, "g1/b1.weight_g")
    known.snapshot.strictness[place] = strictness_of(0, 7)
    watching = Watching(3, known, None)
    feed(watching, join_columns([columns(1, noise(60)), columns(2, noise(60))]))
    assert of_the_silent(watching, range(60, 90)) == []
    back = [columns(series, noise(30), first_minute=90) for series in NAMES]
    assert anomalies(feed(watching, join_columns(back))) == []
    assert of_the_silent(watching, range(120, 150)) == []
    known.snapshot = Snapshot(2, known.snapshot.gateways)
    (told,) = of_the_silent(watching, range(150, 152))
    assert (told.place, told.start, told.end) == (place[2], from_us(START_US + 60_000_000 * 119), None)
    (over,) = anomalies(feed(watching, columns(1, [3_300.0], first_minute=152)))
    assert (over.anomaly_id, over.end is not None) == (told.anomaly_id, True)


def test_labels_raise_and_lower_a_threshold_within_limits() -> None:
    assert strictness_of(0, 0) == 1.0
    assert strictness_of(1, 0) < 1.0 < strictness_of(0, 1) < strictness_of(0, 2)
    assert strictness_of(1_000, 0) == 0.7
    assert strictness_of(0, 1_000) == 10.0


def test_a_limit_that_is_set_while_it_runs_counts_from_then_on() -> None:
    known = Known()
    watching = Watching(3, known, None)
    assert anomalies(feed(watching, columns(2, [12.0] * 60))) == []
    setting = {("acme", "g1", "c1.temp_c"): ChannelSetting("cooler", 60.0, 8.0, 600.0)}
    known.snapshot = Snapshot(2, known.snapshot.gateways, channels=setting)
    (row,) = anomalies(feed(watching, columns(2, [12.0] * 60, first_minute=60)))
    assert row.kind is AnomalyKind.COLD_CHAIN


@pytest.mark.parametrize(("is_ours", "saved_as"), [(True, "watch-63"), (False, "watch-plain-63")])
def test_what_was_learnt_is_saved_and_taken_up_again(*, is_ours: bool, saved_as: str) -> None:
    """Under a key of its own where another process has the frames of the bucket, and saves what it learnt of them."""
    watching = Watching(63, Known(), None, is_ours=is_ours)
    feed(watching, columns(1, noise(400)))
    watching.take(columns(1, [3_300.0], first_minute=400), NOW + SAVE_EVERY * 2)
    frames = watching.take(columns(1, [3_300.0], first_minute=401), NOW + SAVE_EVERY * 2 + timedelta(seconds=2))
    ((key, state),) = [each for frame in frames for each in frame.learnt]
    assert key == saved_as == key_of_state(63, is_ours=is_ours)
    (row,) = anomalies(feed(Watching(63, Known(), state), columns(1, STUCK, first_minute=402)))
    assert row.kind is AnomalyKind.STUCK_SENSOR


def test_a_state_of_another_release_is_left_out() -> None:
    assert restored(b"no state") is None
    assert restored(zlib.compress(b"no pickle")) is None


def test_a_gateway_that_says_it_goes_is_silent_as_a_whole() -> None:
    watching = Watching(3, Known(), None)
    feed(watching, columns(1, noise(30)), columns(2, noise(30)))
    gone = Presence(v=1, state=State.OFFLINE, since=0)
    rows = anomalies(watching.sight(Sighting(GatewayAddress("acme", "s1", "g1"), gone, START_US // 1000 + 10**9)))
    assert [(row.kind, row.place_kind, row.place) for row in rows] == [(AnomalyKind.DROPOUT, "gateway", "g1")]


def test_a_gateway_that_people_stop_is_not_missed_at_once() -> None:
    watching = Watching(3, Known(), None)
    feed(watching, columns(1, noise(30)), columns(2, noise(30)))
    stopped = Presence(v=1, state=State.OFFLINE, since=START_US // 1000)
    assert watching.sight(Sighting(GatewayAddress("acme", "s1", "g1"), stopped, START_US // 1000 + 10**9)) == []


def heard_for(watching: Watching, minutes: int) -> datetime:
    """Both series of a gateway speak each minute; returns the time of the last."""
    now, values = NOW, noise(minutes)
    for minute in range(minutes):
        for series in NAMES:
            watching.take(columns(series, values[minute : minute + 1], minute), now)
        now += timedelta(seconds=30)
        watching.take(columns(1, []), now)
        now += timedelta(seconds=30)
    return now


def test_a_gateway_that_says_nothing_any_more_is_one_dropout_although_nobody_tells() -> None:
    watching = Watching(3, Known(), None)
    now = heard_for(watching, 40)
    assert watching.miss(NOW, now + timedelta(minutes=3)) == []
    rows = anomalies(watching.miss(NOW, now + timedelta(minutes=7)))
    assert [(row.kind, row.place_kind, row.place, row.end) for row in rows] == [
        (AnomalyKind.DROPOUT, "gateway", "g1", None)
    ]
    assert watching.miss(NOW, now + timedelta(minutes=8)) == []


def test_a_silence_while_nothing_could_be_heard_is_none_of_the_gateway() -> None:
    watching = Watching(3, Known(), None)
    now = heard_for(watching, 40)
    assert watching.miss(now + timedelta(minutes=59), now + timedelta(hours=1)) == []
    assert len(watching.miss(now + timedelta(minutes=59), now + timedelta(hours=2))) == 1


def test_a_gateway_that_is_missed_and_speaks_again_closes_its_dropout() -> None:
    watching = Watching(3, Known(), None)
    now = heard_for(watching, 40)
    (opened,) = anomalies(watching.miss(NOW, now + timedelta(minutes=9)))
    back = now + timedelta(minutes=10)
    for series in NAMES:
        watching.take(columns(series, [3_300.0], 50), back)
    rows = anomalies(watching.take(columns(1, []), back + timedelta(seconds=2)))
    assert [(row.anomaly_id, row.end is not None) for row in rows] == [(opened.anomaly_id, True)]


def test_the_capacity_of_a_slot_counts_from_when_it_is_known() -> None:
    known = Known()
    watching = Watching(3, known, None)
    evidence = {"before": 3_300.0, "returned": 1_320.0, "peak": 6_600.0}
    spike = Spike(1, START_US, START_US, START_US, 0.5, 0.9, evidence)
    for version, capacity, is_explained in ((2, 10, False), (3, 24, True)):
        slots = {("acme", "g1", "b1"): Slot("s1", "cola", "b1.weight_g", 330.0, capacity)}
        known.snapshot = Snapshot(version, known.snapshot.gateways, slots)
        watching.take(columns(1, [3_300.0], version), NOW + timedelta(minutes=version))
        watching.take(columns(1, []), NOW + timedelta(minutes=version, seconds=5))
        assert watching.is_explained(spike) is is_explained


def silent(place_kind: str, place: str, minute: int) -> AnomalyRow:
    """A dropout that the process before this one told."""
    start = from_us(START_US + 60_000_000 * minute)
    return AnomalyRow(
        derived_id(place), "acme", "s1", "g1", AnomalyKind.DROPOUT, place_kind, place, start, None, start, 0.8, 0.9, {}
    )  # fmt: skip


def test_a_dropout_that_the_watch_has_forgotten_ends_with_the_first_reading_after_it() -> None:
    of_gateway, of_bay, of_other = (
        silent("gateway", "g1", 5), silent("series", "g1/b1.weight_g", 6), silent("device", "g1/c1", 5),
    )  # fmt: skip
    watching = Watching(3, Known(), None, [of_gateway, of_bay, of_other])
    assert anomalies(feed(watching, columns(1, [3_300.0] * 3, first_minute=3))) == []
    bad = columns(1, [3_300.0], first_minute=9)
    bad.quality[:] = Quality.BAD
    assert anomalies(feed(watching, bad)) == []
    rows = anomalies(feed(watching, columns(1, [3_300.0] * 3, first_minute=10)))
    at = from_us(START_US + 60_000_000 * 10)
    assert {(row.anomaly_id, row.end) for row in rows} == {(of_gateway.anomaly_id, at), (of_bay.anomaly_id, at)}
    assert anomalies(feed(watching, columns(1, [3_300.0] * 3, first_minute=20))) == []
    (row,) = anomalies(feed(watching, columns(2, [4.0], first_minute=21)))
    assert row.anomaly_id == of_other.anomaly_id


def before(kind: AnomalyKind, place: str, **evidence: float) -> AnomalyRow:
    """What the process before this one told of a series."""
    return silent("series", place, 5)._replace(anomaly_id=derived_id(kind), kind=kind, evidence=evidence)


def test_a_stuck_sensor_that_the_watch_has_forgotten_ends_when_it_moves() -> None:
    stuck = before(AnomalyKind.STUCK_SENSOR, "g1/b1.weight_g", value=3_300.0)
    watching = Watching(3, Known(), None, [stuck])
    assert anomalies(feed(watching, columns(1, [3_300.0] * 3, first_minute=6), columns(2, [4.0], first_minute=9))) == []
    (row,) = anomalies(feed(watching, columns(1, [3_300.0, 3_298.5, 3_299.0], first_minute=10)))
    assert (row.anomaly_id, row.end) == (stuck.anomaly_id, from_us(START_US + 60_000_000 * 11))


def test_a_warm_cooler_that_the_watch_has_forgotten_ends_when_it_is_cool_twice_in_a_row() -> None:
    warm = before(AnomalyKind.COLD_CHAIN, "g1/c1.temp_c", limit_c=8.0)
    watching = Watching(3, Known(), None, [warm])
    assert anomalies(feed(watching, columns(2, [9.0, 7.0, 9.0, 8.0], first_minute=6))) == []
    (row,) = anomalies(feed(watching, columns(2, [7.5, 7.0], first_minute=10)))
    assert (row.anomaly_id, row.end) == (warm.anomaly_id, from_us(START_US + 60_000_000 * 9))
    assert anomalies(feed(watching, columns(2, [7.5, 7.0], first_minute=20))) == []
