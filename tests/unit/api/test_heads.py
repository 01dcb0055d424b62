from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.testclient import TestClient

from platform_api.kit.heads import Heads, head_of


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("/", "/"),
        ("/login", "/login"),
        ("/wall/slots/gw-1/s01", "/wall"),
        ("/v1", "/v1"),
        ("/v1/orders", "/v1/orders"),
        ("/v1/orders/7:cancel", "/v1/orders"),
        ("/v1/orders/{order_id}:cancel", "/v1/orders"),
        ("/v1/readings:export", "/v1/readings"),
        ("//", "/"),
        ("", ""),
    ],
)
def test_a_path_and_its_pattern_have_the_same_head(path: str, head: str) -> None:
    assert head_of(path) == head


def application() -> FastAPI:
    first, second = APIRouter(), APIRouter()

    def add(router: APIRouter, path: str, method: str) -> None:
        def answer(request: Request) -> dict[str, Any]:
            return {"name": f"{method} {path}", "pattern": request.scope["route"].path}

        router.add_api_route(path, answer, methods=[method])

    add(first, "/v1/orders", "GET")
    add(first, "/v1/orders/{order}", "GET")
    add(second, "/v1/orders/{order}/lines", "GET")
    add(second, "/v1/orders", "POST")
    add(second, "/v1/stock:count", "POST")
    add(second, "/", "GET")
    app, routes = FastAPI(), APIRouter()
    routes.include_router(first)
    routes.include_router(second)
    app.router.routes.extend([Heads(routes.routes), *routes.routes])
    return app


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/orders", "GET /v1/orders"),
        ("POST", "/v1/orders", "POST /v1/orders"),
        ("GET", "/v1/orders/7", "GET /v1/orders/{order}"),
        ("GET", "/v1/orders/7/lines", "GET /v1/orders/{order}/lines"),
        ("POST", "/v1/stock:count", "POST /v1/stock:count"),
        ("GET", "/", "GET /"),
    ],
)
def test_the_route_that_fits_answers_whichever_router_it_is_of(method: str, path: str, name: str) -> None:
    answer = TestClient(application()).request(method, path)
    assert (answer.status_code, answer.json()) == (200, {"name": name, "pattern": name.split()[1]})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("DELETE", "/v1/orders", 405), ("GET", "/v1/none", 404), ("GET", "/v1/orders/7/none", 404)],
)
def test_what_fits_no_route_is_refused_as_ever(method: str, path: str, status: int) -> None:
    assert TestClient(application()).request(method, path).status_code == status


def test_a_slash_too_many_is_still_led_to_the_right_path() -> None:
    answer = TestClient(application()).get("/v1/orders/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://testserver/v1/orders")
