"""What a transaction writes, computed from frames."""

import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import Reason
from contracts.topics import Lane
from stream.digest import digest_sum, reading_digests
from stream.epoch import PG_EPOCH_US, Part, build, dirty_ranges, halves, keep_readings, newest_good, pack, size_of
from stream.facts import Bundle, Columns, Fault, LaneId, Message, QuarantineRow, Settled, no_columns

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LANE = LaneId("acme", "g1", Lane.TEL)


def columns(rows: list[tuple[int, int, float, int]]) -> Columns:
    return Columns(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.int16),
    )


def settled(
    seq: int, lo: int = 0, hi: int = 0, *, first: int | None = None, gap: str = "", ep: str = "aaaa"
) -> Settled:
    return Settled(
        LANE, ep=ep, from_seq=first or seq, to_seq=seq, digest=2**63, lo=lo, hi=hi, tenant="acme", gateway="g1",
        site="s1", gap_reason=gap,
    )  # fmt: skip


def faulty(seq: int) -> Settled:
    frame = settled(seq)
    frame.quarantine = QuarantineRow("acme", "g1", "tel", "aaaa", seq, Message("t", b"", 0), Fault(Reason.BAD_BODY, ""))
    return frame


rows_of_readings = st.lists(
    st.tuples(st.integers(0, 5 * DAY_US), st.integers(1, 5), st.floats(-1e6, 1e6), st.sampled_from([0, 0, 0, 1, 2, 3])),
    max_size=60,
)


def test_a_lane_moves_over_all_its_frames_in_one_step() -> None:
    parts = [
        Part(columns([(1, 1, 1.0, 0)] * 3), [settled(6, 0, 2), settled(7, 2, 3)]),
        Part(no_columns(), [settled(10, first=8, gap="evicted"), faulty(11)]),
    ]
    (move,) = build(parts).moves
    assert (move.from_seq, move.to_seq, move.frames, move.readings) == (6, 11, 4, 3)
    assert (move.gap_frames, move.quarantined) == (3, 1)
    assert move.digest == 4 * 2**63 % 2**64


def test_two_incarnations_of_a_lane_are_two_moves_in_order() -> None:
    moves = build([Part(no_columns(), [settled(9), settled(1, ep="bbbb"), settled(2, ep="bbbb")])]).moves
    assert [(move.ep, move.from_seq, move.to_seq) for move in moves] == [("aaaa", 9, 9), ("bbbb", 1, 2)]


def test_a_hole_within_a_lane_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="watermark"):
        build([Part(no_columns(), [settled(1), settled(3)])])


@given(rows_of_readings, st.data())
def test_the_digests_of_the_days_are_those_of_their_readings(
    rows: list[tuple[int, int, float, int]], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    edges = [0, *cuts, len(rows)]
    frames = [settled(seq, edges[seq - 1], edges[seq]) for seq in range(1, len(edges))]
    epoch = build([Part(columns(rows), frames)])
    found = {digest.day: (digest.readings, digest.digest) for digest in epoch.digests}
    for day in {row[0] // DAY_US for row in rows}:
        of_day = columns([row for row in rows if row[0] // DAY_US == day])
        total = digest_sum(reading_digests(of_day.series, of_day.time_us, of_day.value))
        assert found.pop(datetime.fromtimestamp(day * 86_400, UTC).date()) == (len(of_day), total)
    assert not found


@given(rows_of_readings)
def test_the_newest_good_reading_of_each_series(rows: list[tuple[int, int, float, int]]) -> None:
    expected: dict[int, tuple[int, float, int]] = {}
    for time_us, series, value, quality in rows:
        if quality != 2 and (series not in expected or time_us >= expected[series][0]):
            expected[series] = (time_us, value, quality)
    newest = newest_good(columns(rows))
    assert {
        series: (time_us, value, quality)
        for time_us, series, value, quality in zip(
            newest.time_us.tolist(), newest.series.tolist(), newest.value.tolist(), newest.quality.tolist(), strict=True
        )
    } == expected


@given(st.lists(st.integers(0, 60 * HOUR_US), max_size=40))
def test_dirty_ranges_hold_every_reading_and_no_empty_hour(times_us: list[int]) -> None:
    ranges = [
        (round(lo.timestamp() * 1e6), round(hi.timestamp() * 1e6))
        for lo, hi in dirty_ranges(np.array(times_us, np.int64))
    ]
    for time_us in times_us:
        assert sum(lo <= time_us <= hi for lo, hi in ranges) == 1
    hours = {time_us // HOUR_US for time_us in times_us}
    for lo, hi in ranges:
        assert set(range(lo // HOUR_US, hi // HOUR_US + 1)) <= hours


def test_a_row_of_copy_is_what_postgresql_reads() -> None:
    assert pack(columns([(PG_EPOCH_US + 7, 42, -1.5, 3)])) == struct.pack(
        ">hiqiiidih", 4, 8, 7, 4, 42, 8, -1.5, 2, 3
    )  # fmt: skip


@given(rows_of_readings, st.data())
def test_frames_keep_their_readings_when_others_go(
    rows: list[tuple[int, int, float, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    part = Part(columns(rows), [settled(1, 0, cut), settled(2, cut, len(rows))])
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), np.bool_)
    kept = keep_readings(part, keep)
    for before, after in zip(part.frames, kept.frames, strict=True):
        left = part.columns.value[before.lo : before.hi][keep[before.lo : before.hi]]
        assert kept.columns.value[after.lo : after.hi].tolist() == left.tolist()


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), min_size=1, max_size=5).filter(
    lambda sizes: sum(map(len, sizes)) > 1
))  # fmt: skip
def test_halves_settle_the_same_frames_in_the_same_order(sizes: list[list[int]]) -> None:
    parts: list[Part] = []
    seq, value = 0, 0
    for frames_of in sizes:
        frames: list[Settled] = []
        rows: list[tuple[int, int, float, int]] = []
        for size in frames_of:
            seq += 1
            frames.append(settled(seq, len(rows), len(rows) + size))
            rows += [(value + k, 1, float(seq), 0) for k in range(size)]
            value += size
        parts.append(Part(columns(rows), frames))
    first, second = halves(parts)
    found = [
        (frame.to_seq, part.columns.value[frame.lo : frame.hi].tolist())
        for part in [*first, *second]
        for frame in part.frames
    ]
    assert found == [
        (frame.to_seq, [float(frame.to_seq)] * (frame.hi - frame.lo)) for part in parts for frame in part.frames
    ]
    assert first
    assert second


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_bundle_is_cut_message_by_message(bundles: list[list[int]]) -> None:
    frames: list[Settled] = []
    rows: list[tuple[int, int, float, int]] = []
    for number, counts in enumerate(bundles):
        messages = [Message(f"{number}", b"%d" % place, 0) for place in range(len(counts))]
        lo = len(rows)
        rows += [(0, 1, number * 100.0 + place, 0) for place, count in enumerate(counts) for _ in range(count)]
        frames.append(Settled(None, lo=lo, hi=len(rows), tenant="acme", gateway="g1", bundle=Bundle(messages, counts)))
    waiting = [[Part(columns(rows), frames)]]
    found: list[tuple[str, list[float]]] = []
    while waiting:
        parts = waiting.pop()
        if size_of(parts) > 1:
            waiting += reversed(halves(parts))
            continue
        ((part,),) = [parts]
        (frame,) = part.frames
        assert frame.bundle is not None
        (message,) = frame.bundle.messages
        found.append((f"{message.topic}/{message.payload.decode()}", part.columns.value[frame.lo : frame.hi].tolist()))
    assert found == [
        (f"{number}/{place}", [number * 100.0 + place] * count)
        for number, counts in enumerate(bundles)
        for place, count in enumerate(counts)
    ]
