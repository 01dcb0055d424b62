"""The hub without a database: what it reads, and what its viewers are told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from contracts.facts import LiveNotice
from platform_api.live import delta
from platform_api.live.hub import QUEUE_MAX, AudienceKey, Found, Hub, Want

KEY = AudienceKey("acme", None)
START_US = 1_767_600_000_000_000
DEADLINE_S = 20.0


class Database:
    """Answers the hub's reads from lists; counts them."""

    def __init__(self) -> None:
        self.reads: list[tuple[AudienceKey, Want]] = []
        self.changes: dict[str, list[dict[str, Any]]] = {name: [] for name in delta.LISTS}
        self.cursor = START_US
        self.latest: dict[int, tuple[int, float]] = {}

    def read(self, key: AudienceKey, want: Want, readings_per_s: float) -> Found:
        self.reads.append((key, want))
        self.cursor += 1_000
        told = want.events or want.anomalies or want.proposals
        totals = {"readings_per_s": readings_per_s} if want.totals else None
        latest = {one: self.latest[one] for one in want.series if one in self.latest}
        return Found({"cursor": self.cursor, **self.changes} if told else None, totals, latest)


def run(scene: Callable[[Hub, Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database()
        hub = Hub(database.read, now_us=lambda: START_US)
        task = asyncio.create_task(hub.run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                await scene(hub, database)
        finally:
            task.cancel()

    asyncio.run(main())


async def next_of(queue: asyncio.Queue[bytes], event: str) -> Any:
    while True:
        lines = (await queue.get()).decode().splitlines()
        if f"event: {event}" in lines:
            return json.loads(next(line for line in lines if line.startswith("data: "))[6:])


def test_a_hundred_viewers_cost_one_read_and_all_are_told() -> None:
    async def scene(hub: Hub, database: Database) -> None:
        viewers = [hub.join(KEY, (), None) for _ in range(100)]
        for viewer in viewers:
            await next_of(viewer.queue, "totals")
        before = len(database.reads)
        database.changes["events"] = [{"id": "e1"}]
        hub.hear(LiveNotice("acme", ["s"], events=1))
        assert [await next_of(viewer.queue, "delta") for viewer in viewers] == [{"events": [{"id": "e1"}]}] * 100
        assert len(database.reads) == before + 1

    run(scene)


def test_notices_that_come_together_are_one_read() -> None:
    async def scene(hub: Hub, database: Database) -> None:
        viewer = hub.join(KEY, (), None)
        await next_of(viewer.queue, "totals")
        before = len(database.reads)
        database.changes["events"] = [{"id": "e1"}]
        for _ in range(50):
            hub.hear(LiveNotice("acme", ["s"], events=1))
        await next_of(viewer.queue, "delta")
        assert len(database.reads) == before + 1

    run(scene)


def test_another_tenants_commit_reads_nothing() -> None:
    async def scene(hub: Hub, database: Database) -> None:
        viewer = hub.join(KEY, (), None)
        await next_of(viewer.queue, "totals")
        hub.hear(LiveNotice("bravo", ["s"], events=1, anomalies=1, proposals=1))
        await next_of(viewer.queue, "totals")
        assert not any(want.events for _, want in database.reads[1:])

    run(scene)


def test_what_the_overlap_reads_again_is_told_once() -> None:
    async def scene(hub: Hub, database: Database) -> None:
        viewer = hub.join(KEY, (), None)
        database.changes["events"] = [{"id": "e1"}]
        hub.hear(LiveNotice("acme", ["s"], events=1))
        assert await next_of(viewer.queue, "delta") == {"events": [{"id": "e1"}]}
        database.changes["events"] = [{"id": "e2"}, {"id": "e1"}]
        hub.hear(LiveNotice("acme", ["s"], events=1))
        assert await next_of(viewer.queue, "delta") == {"events": [{"id": "e2"}]}

    run(scene)


def test_a_viewer_is_told_the_values_of_the_series_it_watches_only() -> None:
    async def scene(hub: Hub, database: Database) -> None:
        database.latest = {1: (1_000, 5.0), 2: (1_000, 6.0)}
        one, both = hub.join(KEY, (1,), None), hub.join(KEY, (1, 2), None)
        assert await next_of(one.queue, "values") == [[1, 1_000, 5.0]]
        assert await next_of(both.queue, "values") == [[1, 1_000, 5.0], [2, 1_000, 6.0]]

    run(scene)


def test_a_viewer_that_comes_back_is_told_what_it_missed() -> None:
    async def scene(hub: Hub, database: Database) -> None:
        stays, leaves = hub.join(KEY, (), START_US), hub.join(KEY, (), START_US)
        hub.leave(KEY, leaves)
        database.changes["events"] = [{"id": "e1"}]
        hub.hear(LiveNotice("acme", ["s"], events=1))
        await next_of(stays.queue, "delta")
        back = hub.join(KEY, (), START_US)
        assert await next_of(back.queue, "delta") == {"events": [{"id": "e1"}]}

    run(scene)


def test_a_viewer_that_was_away_too_long_is_told_to_begin_anew() -> None:
    async def scene(hub: Hub, _: Database) -> None:
        for after in (0, START_US - delta.REPLAY_AGE_US - 1):
            viewer = hub.join(KEY, (), after)
            assert viewer.queue.get_nowait() == delta.RESET

    run(scene)


def test_a_viewer_that_does_not_read_has_a_bounded_queue_and_a_reset_in_it() -> None:
    async def scene(hub: Hub, _: Database) -> None:
        viewer = hub.join(KEY, (), None)
        for number in range(QUEUE_MAX + 1):
            viewer.tell(b"%d" % number)
        assert viewer.queue.qsize() == 1
        assert viewer.queue.get_nowait() == delta.RESET

    run(scene)


def test_an_audience_goes_with_its_last_viewer() -> None:
    async def scene(hub: Hub, _: Database) -> None:
        viewer = hub.join(KEY, (), None)
        assert hub.viewers == 1
        hub.leave(KEY, viewer)
        assert hub.viewers == 0
        assert not hub._audiences

    run(scene)


def test_history_forgets_the_oldest_and_knows_what_it_covers() -> None:
    history = delta.History(0)
    for number in range(1, delta.REPLAY_MAX + 2):
        history.add(number, b"%d" % number)
    assert history.since(0) is None
    assert history.since(1) == [b"%d" % number for number in range(2, delta.REPLAY_MAX + 2)]
