import threading
from inspect import iscoroutinefunction
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from platform_api.app import create_app
from platform_api.kit.db import Turns
from platform_api.kit.work import Route, Router, run_through
from platform_api.settings import Settings

router = Router()


async def place() -> int:
    return threading.get_ident()


async def impatient() -> None:
    await anyio.lowlevel.checkpoint()


@router.get("/places")
def places(first: Annotated[int, Depends(place)]) -> list[int]:
    return [first, threading.get_ident()]


@router.get("/waits", dependencies=[Depends(impatient)])
def waits() -> None:
    raise AssertionError


def client() -> TestClient:
    app = FastAPI()
    app.state.turns = Turns(2)
    app.include_router(router)
    return TestClient(app, raise_server_exceptions=False)


def test_dependencies_and_function_of_a_request_run_in_one_thread() -> None:
    with client() as asked:
        first, then = asked.get("/places").json()
        assert asked.portal is not None
        assert first == then != asked.portal.call(threading.get_ident)


def test_a_dependency_that_waits_is_a_defect_and_the_turn_comes_back() -> None:
    asked = client()
    assert [asked.get("/waits").status_code for _ in range(5)] == [500] * 5
    assert asked.get("/places").status_code == 200


def test_what_never_waits_is_run_through_and_what_raises_raises() -> None:
    async def answer() -> int:
        return 42

    async def fail() -> int:
        raise KeyError

    async def wait() -> None:
        await anyio.lowlevel.checkpoint()

    assert run_through(answer()) == 42
    with pytest.raises(KeyError):
        run_through(fail())
    with pytest.raises(RuntimeError):
        run_through(wait())


def test_a_function_that_waits_has_no_place_in_such_a_router() -> None:
    async def endpoint() -> None: ...

    with pytest.raises(AssertionError):
        Router().get("/x")(endpoint)


def test_no_route_of_the_api_is_handed_from_thread_to_thread() -> None:
    application = create_app(Settings.model_validate({"dsn": "postgresql://", "secret": "s" * 64}))
    handed = [
        context.path
        for context in iter_route_contexts(application.routes)
        if isinstance(context.original_route, APIRoute)
        and not isinstance(context.original_route, Route)
        and not iscoroutinefunction(context.endpoint)
    ]
    assert handed == []
