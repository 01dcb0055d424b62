"""One search for the spikes of all buckets: what waits for what, and what a bucket takes to another process."""

import pickle
from datetime import UTC, datetime, timedelta

import numpy as np

from contracts.ids import bucket_of
from contracts.topics import GatewayAddress
from stream.bucket import Bucket
from stream.control_data import Beginning, Snapshot
from stream.facts import Bundle, Chunk, Columns, Message, PlainRun, Settled, no_columns
from stream.live_spikes import GATHER, LiveSpikes
from stream.spike import Spike

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GATEWAYS = ("g1", "g2")
BUCKETS = tuple(bucket_of(gateway) for gateway in GATEWAYS)


class Names:
    snapshot = Snapshot()

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        tenant, gateway = dict(enumerate(zip(("acme", "beta"), GATEWAYS, strict=True)))[series_id]
        return tenant, gateway, "b1.weight_g"


def readings(series: int, values: list[float], start_s: int = 0) -> Columns:
    n = len(values)
    times = (np.arange(start_s, start_s + n) + int(NOW.timestamp())) * 1_000_000
    return Columns(times, np.full(n, series, np.int32), np.array(values), np.zeros(n, np.int16))


def usual(n: int) -> list[float]:
    return [4_000.0 + at % 9 for at in range(n)]


def search(*learnt: bytes | None, explained: bool = False) -> LiveSpikes:
    """A process of both buckets."""

    def is_explained(_spike: Spike) -> bool:
        return explained

    found = LiveSpikes(Names())
    for bucket, state in zip(BUCKETS, learnt or (None, None), strict=True):
        found.join(bucket, state, is_explained)
    return found


def spiky(spikes: LiveSpikes, series: int, now: datetime) -> list[str]:
    """Gateways of the anomalies after a spike of that series, and of those that were settled with them."""
    rows = spikes.take(BUCKETS[series], readings(series, [90_000.0, 4_001.0], 100), now)
    return [row.gateway for row in rows]


def test_what_comes_seldom_is_looked_at_as_it_comes() -> None:
    spikes = search()
    assert spikes.take(BUCKETS[0], readings(0, usual(100)), NOW) == ()
    assert spiky(spikes, 0, NOW + timedelta(minutes=1)) == ["g1"]


def test_what_comes_all_the_time_waits_and_is_settled_with_the_readings_of_any_bucket() -> None:
    spikes = search()
    for series in (0, 1):
        spikes.take(BUCKETS[series], readings(series, usual(100)), NOW + series * GATHER)
    assert spiky(spikes, 0, NOW + 1.5 * GATHER) == []
    assert sorted(spiky(spikes, 1, NOW + 3 * GATHER)) == ["g1", "g2"]
    assert spikes.take(BUCKETS[0], no_columns(), NOW + 9 * GATHER) == ()


def test_a_bucket_takes_what_it_learnt_and_what_waits_to_another_process_and_nothing_of_others() -> None:
    first = search()
    for series in (0, 1):
        first.take(BUCKETS[series], readings(series, usual(100)), NOW + series * GATHER)
    assert spiky(first, 0, NOW + 1.5 * GATHER) == []
    assert spiky(first, 1, NOW + 1.5 * GATHER) == []
    moved = search(first.snapshot(BUCKETS[0]), None)
    rows = moved.take(BUCKETS[1], no_columns(), NOW + 9 * GATHER)
    assert [row.gateway for row in rows] == ["g1"]
    # The other bucket's series begins anew there: it has learnt nothing that would make it a spike.
    assert moved.take(BUCKETS[1], readings(1, [4_000.0, 5_600.0, 4_000.0], 300), NOW + 19 * GATHER) == ()


def test_each_anomaly_is_a_frame_of_its_own_tenant_whichever_bucket_settles_it() -> None:
    names = Names()
    spikes = LiveSpikes(names)
    buckets = [Bucket(number, names, Beginning({}, {}, {}), None, spikes) for number in BUCKETS]

    def take(series: int, values: list[float], start_s: int, now: datetime) -> list[Settled]:
        columns, n = readings(series, values, start_s), len(values)
        bundle = Bundle([Message("t", b"", 0)] * n, [1] * n)
        run = PlainRun(GatewayAddress(names.name_of(series)[0], "s1", GATEWAYS[series]), bundle, once=False, lo=0, hi=n)
        frames = buckets[series].take([Chunk(BUCKETS[series], columns, plain=[run])], now).frames
        return [frame for frame in frames if frame.anomalies]

    for series in (0, 1):
        take(series, usual(100), 0, NOW + series * GATHER)
    assert take(0, [90_000.0, 4_001.0], 100, NOW + 1.5 * GATHER) == []
    found = take(1, [90_000.0, 4_001.0], 100, NOW + 3 * GATHER)
    assert sorted((frame.tenant, frame.gateway, len(frame.anomalies)) for frame in found) == [
        ("acme", "g1", 1), ("beta", "g2", 1)
    ]  # fmt: skip


def test_what_another_release_has_kept_is_left_out() -> None:
    spikes = search(pickle.dumps(([0], {"values": [[4_000.0]]})), None)
    assert spikes.take(BUCKETS[0], readings(0, usual(100)), NOW) == ()
    assert spiky(spikes, 0, NOW + timedelta(minutes=1)) == ["g1"]


def test_series_that_a_restored_database_has_forgotten_are_left_out() -> None:
    class More(Names):
        def name_of(self, series_id: int) -> tuple[str, str, str]:
            return ("acme", GATEWAYS[0], "b9.weight_g") if series_id == 9 else super().name_of(series_id)

    before = LiveSpikes(More())
    before.join(BUCKETS[0], None, lambda _: False)
    for series, seconds in ((0, 0), (9, 0), (9, 100), (0, 100)):
        before.take(BUCKETS[0], readings(series, usual(100), seconds), NOW)
    spikes = search(before.snapshot(BUCKETS[0]), None)
    assert spikes.take(BUCKETS[0], no_columns(), NOW + 9 * GATHER) == ()
    again = search(spikes.snapshot(BUCKETS[0]), None)
    assert [row.gateway for row in again.take(BUCKETS[0], readings(0, [90_000.0, 4_001.0], 300), NOW)] == ["g1"]


def test_a_clock_that_is_set_back_does_not_let_readings_wait() -> None:
    spikes = search()
    spikes.take(BUCKETS[0], readings(0, usual(100)), NOW)
    assert spiky(spikes, 0, NOW - timedelta(hours=1)) == ["g1"]


def test_what_something_else_explains_is_no_anomaly() -> None:
    spikes = search(explained=True)
    spikes.take(BUCKETS[0], readings(0, usual(100)), NOW)
    assert spiky(spikes, 0, NOW + timedelta(minutes=1)) == []
