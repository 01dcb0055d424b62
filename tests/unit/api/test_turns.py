import anyio
import anyio.lowlevel
import pytest
from psycopg_pool import PoolTimeout, TooManyRequests

from platform_api.kit import db


def test_who_waits_for_a_connection_is_let_in_when_one_comes_back() -> None:
    seen: list[str] = []

    async def ask(turns: db.Turns, name: str) -> None:
        async with turns.take():
            seen.append(f"{name} in")
            await anyio.lowlevel.checkpoint()
            seen.append(f"{name} out")

    async def crowd() -> None:
        turns = db.Turns(1)
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(ask, turns, name)

    anyio.run(crowd)
    assert seen == ["a in", "a out", "b in", "b out", "c in", "c out"]


def test_nobody_waits_longer_than_a_request_may_and_a_turn_that_was_missed_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "POOL_WAIT_S", 0.01)

    async def crowd() -> None:
        turns = db.Turns(1)
        async with turns.take():
            with pytest.raises(PoolTimeout):
                async with turns.take():
                    pass
        async with turns.take():
            pass

    anyio.run(crowd)


def test_a_queue_that_is_full_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "POOL_QUEUE_MAX", 0)

    async def crowd() -> None:
        with pytest.raises(TooManyRequests):
            async with db.Turns(1).take():
                pass

    anyio.run(crowd)
