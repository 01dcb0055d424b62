"""One suite over both stores: what the sender relies on holds in memory and in the file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from contracts.frames import Gap, GapReason, decode, digest
from contracts.topics import Lane
from edge_agent.outbox.file import Outbox
from edge_agent.outbox.store import FrameStore, MemoryStore
from tests.integration.edge.frame_makers import tel_entry, telemetry

TEL = Lane.TEL
Fill = Callable[[int], None]


@pytest.fixture(params=["memory", "file"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FrameStore, Fill]]:
    """A store, and how to write the next frames of lane tel into it."""
    if request.param == "memory":
        memory = MemoryStore("abcd1234")

        def put(count: int) -> None:
            for _ in range(count):
                seq = memory.marks()[TEL].last + 1
                memory.put(TEL, telemetry(float(seq), ep=memory.ep, seq=seq))

        yield memory, put
        return
    outbox = Outbox(tmp_path / "outbox.db", machine="m", max_bytes=1 << 30)
    outbox.open()

    def write(count: int) -> None:
        first = outbox.marks()[TEL].last + 1
        outbox.write([tel_entry(float(seq)) for seq in range(first, first + count)])

    yield outbox, write
    outbox.close()


def seqs(store: FrameStore, after: int = 0, limit: int = 100) -> list[int]:
    return [stored.seq for stored in store.read(TEL, after, limit)]


def test_frames_are_read_in_order_after_a_cursor(filled: tuple[FrameStore, Fill]) -> None:
    store, fill = filled
    fill(10)
    assert seqs(store) == list(range(1, 11))
    assert seqs(store, after=7) == [8, 9, 10]
    assert seqs(store, after=2, limit=3) == [3, 4, 5]
    assert store.read(Lane.EVT, 0, 10) == []


def test_what_is_released_counts_as_committed(filled: tuple[FrameStore, Fill]) -> None:
    store, fill = filled
    fill(5)
    store.release(TEL, 3)
    store.release(TEL, 2)
    assert store.marks()[TEL] == (3, 5)
    fill(1)
    assert seqs(store, after=3) == [4, 5, 6]


def test_a_gap_takes_the_place_of_frames(filled: tuple[FrameStore, Fill]) -> None:
    store, fill = filled
    fill(5)
    store.give_up(TEL, Gap(1, 3, GapReason.REFUSED))
    assert seqs(store) == [3, 4, 5]
    gap = decode(TEL, store.read(TEL, 0, 1)[0].payload).gap
    assert gap == Gap(1, 3, GapReason.REFUSED)
    kept = [decode(TEL, stored.payload) for stored in store.read(TEL, 0, 10)]
    assert int(store.sent()["tel"].digest, 16) == sum(map(digest, kept)) % 2**64


def test_a_gap_over_released_frames_brings_the_watermark_back_and_leaves_the_sum(
    filled: tuple[FrameStore, Fill],
) -> None:
    store, fill = filled
    fill(6)
    before = store.sent()["tel"].digest
    store.release(TEL, 4)
    store.give_up(TEL, Gap(3, 4, GapReason.RELEASED))
    assert store.marks()[TEL] == (2, 6)
    assert seqs(store, after=2) == [4, 5, 6]
    assert store.sent()["tel"].digest == before


def test_the_account_goes_on_over_what_was_released(filled: tuple[FrameStore, Fill]) -> None:
    store, fill = filled
    fill(4)
    frames = [decode(TEL, stored.payload) for stored in store.read(TEL, 0, 10)]
    store.release(TEL, 4)
    sent = store.sent()["tel"]
    assert (sent.ep, sent.seq, int(sent.digest, 16)) == (store.ep, 4, sum(map(digest, frames)) % 2**64)


def test_writing_wakes_who_subscribed(filled: tuple[FrameStore, Fill]) -> None:
    store, fill = filled
    woken: list[bool] = []
    store.subscribe(lambda: woken.append(True))
    fill(1)
    assert woken


def test_payloads_are_canonical(filled: tuple[FrameStore, Fill]) -> None:
    store, fill = filled
    fill(3)
    for stored in store.read(TEL, 0, 10):
        assert msgspec.json.encode(decode(TEL, stored.payload)) == stored.payload
