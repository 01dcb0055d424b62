"""What a client has not said yet holds up nobody: a body is there as a whole before the application is asked."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.types import Message, Receive, Scope, Send

from platform_api.kit.bodies import BodyLimit
from platform_api.kit.limits import BODY_MAX_BYTES

Told = list[tuple[str, Any]]
CARRIER = "/v1/carrier-events/acme/van"


def scope_of(path: str, headers: list[tuple[bytes, bytes]] | None = None) -> Scope:
    return {"type": "http", "path": path, "method": "POST", "headers": headers or []}


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def run(scope: Scope, *messages: Message, waits_after: int | None = None) -> Told:
    """What the application and the client were told; the client goes silent after so many messages."""
    told: Told = []

    async def application(_: Scope, receive: Receive, send: Send) -> None:
        told.append(("asked", None))
        more = True
        while more:
            message = await receive()
            told.append((message["type"], message.get("body")))
            more = message.get("more_body", False)
        told.append(("after", (await receive())["type"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def talk() -> None:
        left = iter([*messages, {"type": "http.disconnect"}])
        count = 0

        async def receive() -> Message:
            nonlocal count
            if count == waits_after:
                await anyio.sleep_forever()
            count += 1
            return next(left)

        async def send(message: Message) -> None:
            told.append((message["type"], message.get("status")))

        await _until_idle(lambda: BodyLimit(application)(scope, receive, send))

    anyio.run(talk)
    return told


async def _until_idle(work: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:

        async def finish() -> None:
            await work()
            group.cancel_scope.cancel()

        group.start_soon(finish)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


def test_who_does_not_finish_is_not_heard() -> None:
    assert run(scope_of(CARRIER), part(b"a"), waits_after=1) == []


def test_a_body_that_came_in_parts_is_told_as_it_came() -> None:
    told = run(scope_of(CARRIER), part(b"a"), part(b"b", more=False))
    assert told == [
        ("asked", None),
        ("http.request", b"a"),
        ("http.request", b"b"),
        ("after", "http.disconnect"),
        ("http.response.start", 204),
    ]


def test_who_hangs_up_is_told_so() -> None:
    assert run(scope_of(CARRIER), part(b"a"), {"type": "http.disconnect"})[1:3] == [
        ("http.request", b"a"),
        ("http.disconnect", None),
    ]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"%d" % (BODY_MAX_BYTES + 1))]])
def test_a_large_body_is_refused_and_the_application_not_asked(headers: list[tuple[bytes, bytes]]) -> None:
    half = part(b"x" * (BODY_MAX_BYTES // 2 + 1))
    assert run(scope_of(CARRIER, headers), half, half)[0] == ("http.response.start", 413)


def test_a_file_is_read_by_whoever_asks_for_it() -> None:
    assert run(scope_of("/v1/imports"), part(b"a"), waits_after=1) == [("asked", None), ("http.request", b"a")]
