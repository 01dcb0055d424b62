from random import Random

import pytest
import xxhash

from contracts import frames
from contracts.frames import GapReason
from contracts.topics import Lane
from simulators.frame_templates import VARIANTS, FrameTemplate, gap_payload


def template(lane: Lane = Lane.TEL, devices: int = 20, readings: int = 50) -> FrameTemplate:
    return FrameTemplate(lane, "test1", devices, readings, Random(1))


@pytest.mark.parametrize("lane", [Lane.TEL, Lane.BULK, Lane.EVT])
@pytest.mark.parametrize("seq", [1, 2, 15, 16, 17, 999_999_999])
def test_a_spliced_frame_is_canonical_and_its_hash_is_the_digest(lane: Lane, seq: int) -> None:
    payload = template(lane).payload(seq, 1_767_225_600_123)
    frame = frames.decode(lane, payload)
    assert frames.encode(frame) == payload
    assert frames.digest(frame) == xxhash.xxh64_intdigest(payload)
    assert (frame.ep, frame.seq, frame.t0) == ("test1", seq, 1_767_225_600_123)


def test_the_same_number_and_time_give_the_same_bytes() -> None:
    assert template().payload(7, 5) == template().payload(7, 5)
    assert template().payload(7, 5) != template().payload(8, 5)


def test_frames_have_the_readings_that_were_asked_for_and_name_all_devices() -> None:
    seen: set[str] = set()
    for seq in range(1, VARIANTS + 1):
        frame = frames.decode_telemetry(template(devices=30).payload(seq, 0))
        assert len(frame.x) == 50
        seen.update(frame.ch)
    assert seen == {f"d{number:03d}.{metric}" for number in range(30) for metric in ("weight_g", "temp_c")}


def test_events_have_ids_of_their_own() -> None:
    of = template(Lane.EVT)
    ids = {frames.decode_events(of.payload(seq, 0)).ev[0].id for seq in range(1, 100)}
    assert len(ids) == 99
    assert of.readings == 0


@pytest.mark.parametrize("lane", [Lane.TEL, Lane.EVT])
def test_a_gap_is_a_frame_of_its_lane(lane: Lane) -> None:
    frame = frames.decode(lane, gap_payload(lane, "test1", 3, 9, GapReason.RELEASED))
    assert frame.seq == 9
    assert frame.gap == frames.Gap(3, 9, GapReason.RELEASED)
