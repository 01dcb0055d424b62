"""What holds for every route there is: the list comes from the application itself."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from platform_api.kit.headers import SECURITY_HEADERS
from platform_api.kit.limits import BODY_MAX_BYTES
from tests.integration.api.conftest import bearer
from tests.integration.api.world import World

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/oidc"),
    ("GET", "/login/oidc/callback"),
    ("POST", "/v1/auth/token"),
    ("POST", "/v1/claims:redeem"),
    ("POST", "/v1/carrier-events/{tenant}/{carrier}"),
}
"""What anybody may ask. /static is a mount without secrets; the answer of /session/resume is a redirect."""
NAMES = ("site", "destination", "gateway", "slot", "org", "sku", "list_id")
"""What names a thing in a path by itself, rather than by a key."""
NONSENSE = (
    "",
    "\x00",
    "'; DROP TABLE app_user; --",
    "-1",
    "9" * 400,
    "../../etc/passwd",
    "%ff",
    "NaN",
    "😀" * 100,
    "{}",
)
BODIES_OF: dict[str, Any] = {
    "POST /v1/anomalies/{anomaly_id}:label": {"label": "expected"},
    "POST /v1/gateways/{gateway}/commands": {"kind": "identify"},
    "PUT /v1/gateways/{gateway}/config": {"config": {}},
    "PUT /v1/orgs/{org}": {"kind": "dealer", "name": "x"},
    "PUT /v1/orgs/{org}/entitlements": {"skus": {"*": True}},
    "PUT /v1/skus/{sku}": {"name_en": "x", "unit_weight_g": 1},
    "PUT /v1/counts/{count_id}/lines": {"lines": [{"sku": "tea", "counted": 1}]},
    "PUT /v1/orgs/{org}/credit": {"limit": {"amount": "1.00", "currency": "CNY"}},
    "PUT /v1/policies/{site}/{sku}": {"mode": "auto", "reorder_point": 1, "target": 2},
    "PUT /v1/transfer-lanes/{site}/{destination}": {"cost": {"amount": "1.00", "currency": "CNY"}},
    "PUT /v1/depletion-sources/{site}/{sku}": {"source": "pos"},
    "PUT /v1/orders/{order_id}": {"ship_to": "east-1", "lines": [{"sku": "tea", "packs": 1}]},
    "PUT /v1/orders/{order_id}/discounts": {"order": {"basis_points": 100, "reason": "because"}},
    "POST /v1/orders/{order_id}:override": {"reason": "because"},
    "POST /v1/orders/{order_id}:cancel": {"reason": "because"},
    "POST /v1/orders/{order_id}/shipments": {"carrier": "van"},
    "POST /v1/orders/{order_id}/returns": {"reason": "because", "units": {"1": 1}},
    "POST /v1/returns/{return_id}:reject": {"reason": "because"},
    "POST /v1/returns/{return_id}:receive": {},
    "POST /v1/transfer-requests/{transfer_id}:send": {},
    "POST /v1/transfer-requests/{transfer_id}:receive": {},
    "POST /v1/transfer-requests/{transfer_id}:close": {"reason": "because"},
    "POST /v1/shipments/{shipment_id}:deliver": {"signer": "Somebody", "at": "2026-01-05T08:00:00Z"},
    "PUT /v1/price-lists/{list_id}": {"name": "x", "level": "default"},
    "PUT /v1/webhooks/{webhook_id}": {"url": "https://erp.example.com/"},
    "POST /v1/webhooks/{webhook_id}:replay": {"from": "2026-01-05T08:00:00Z"},
    "PUT /v1/users/{user_id}": {"role": "ops", "name": "x"},
}
"""What makes a request whole that names another tenant's thing: it must get as far as looking for it."""
BODIES = (b"", b"\xff\xfe", b"{", b"[]", b'{"login": 1}', b'{"note": "\\u0000"}', b"[" * 60_000, b'{"label": "maybe"}')


@pytest.fixture
def world(shared_world: World) -> World:
    """These tests change nothing that another one looks at."""
    return shared_world


def routes(application: FastAPI) -> Iterator[tuple[str, str]]:
    for context in iter_route_contexts(application.routes):
        for method in sorted(context.methods or ()):
            assert context.path is not None
            yield method, context.path


def filled(path: str, value: str = "") -> str:
    for name in NAMES:
        path = path.replace(f"{{{name}}}", value or "none")
    # Whatever else stands in a path is a key of ours.
    return re.sub(r"\{[a-z_]+\}", lambda _: value or str(uuid.uuid4()), path)


def test_nothing_but_the_open_routes_answers_without_credentials(application: FastAPI, anonymous: TestClient) -> None:
    answers = {(method, path): anonymous.request(method, filled(path)) for method, path in routes(application)}
    assert len(answers) > 25
    assert answers.keys() > OPEN
    resumed = answers.pop(("GET", "/session/resume"))
    assert resumed.headers["location"] == "/login"
    assert {
        route: answer.status_code
        for route, answer in answers.items()
        if route not in OPEN and answer.status_code != 401
    } == {}


@pytest.mark.parametrize(
    "credential",
    ["Bearer nonsense", "Bearer spk_abcdefgh_" + "x" * 43, "Basic b3BzOm9wcw==", "Bearer ", "Bearer " + "a.b.c" * 900],
)
def test_a_wrong_credential_opens_no_route(application: FastAPI, anonymous: TestClient, credential: str) -> None:
    for method, path in routes(application):
        if (method, path) not in OPEN and not path.startswith("/session/"):
            answer = anonymous.request(method, filled(path), headers={"Authorization": credential})
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_nonsense_is_answered_with_a_problem_and_never_with_our_insides(application: FastAPI, ops: TestClient) -> None:
    document = application.openapi()["paths"]
    asked = 0
    for method, path in routes(application):
        if path == "/v1/live":
            continue  # an endless answer: its parameters are tried below
        parameters = [one["name"] for one in document.get(path, {}).get(method.lower(), {}).get("parameters", [])]
        for value in NONSENSE:
            answer = ops.request(
                method,
                filled(path, "%00" if value == "\x00" else value.replace("/", "%2F") or "x"),
                params=dict.fromkeys(parameters, value),
                headers={"If-Match": '"1"'},
            )
            check_answer(answer, (method, path, value))
            asked += 1
        for body in BODIES if method in {"POST", "PUT"} else ():
            answer = ops.request(
                method, filled(path), content=body, headers={"If-Match": '"1"', "Content-Type": "application/json"}
            )
            check_answer(answer, (method, path, body[:20]))
            asked += 1
    assert asked > 300


@pytest.mark.parametrize(
    "query", ["series=x", "series=-1", "after=x", "after=" + "9" * 30, "series=1&" * 9 + "series=1"]
)
def test_a_stream_is_not_opened_for_nonsense(ops: TestClient, query: str) -> None:
    answer = ops.get(f"/v1/live?{query}")
    assert answer.status_code == 422
    check_answer(answer, query)


def check_answer(answer: Any, about: object) -> None:
    assert answer.status_code < 500, (about, answer.text)
    assert "Traceback" not in answer.text, about
    assert "psycopg" not in answer.text, about
    if answer.status_code >= 400 and not str(answer.url.path).startswith("/login"):
        assert answer.headers["content-type"] == "application/problem+json", about
        problem = json.loads(answer.text)
        assert problem["status"] == answer.status_code, about
        assert problem["title"], about


def test_another_tenants_things_do_not_exist(application: FastAPI, anonymous: TestClient, world: World) -> None:
    theirs = world.bravo
    asked = [
        (method, path.format(**theirs.names), BODIES_OF.get(f"{method} {path}"))
        for method, path in routes(application)
        if "{" in path and (method, path) not in OPEN
    ]
    asked += [
        ("GET", f"/v1/gateways/gw-east-1/commands/{theirs.command}", None),
        ("GET", f"/v1/readings?series_id={theirs.series}", None),
        ("GET", f"/v1/live?series={theirs.series}", None),
    ]
    assert len(asked) > 20
    application.state.limits._requests._per_s = 1e6
    for login in ("hq@acme", "ops@acme", "store@acme", "dealer@acme"):
        headers = {**bearer(world, login), "If-Match": '"1"', "Idempotency-Key": "theirs"}
        for method, path, body in asked:
            answer = anonymous.request(method, path, headers=headers, json=body)
            # A role that may not do it to its own either is told so; who may do it must not find theirs.
            expected = {404} if login == "hq@acme" else {403, 404}
            assert answer.status_code in expected, (login, method, path, answer.text)


def test_no_list_names_anything_of_another_tenant(ops: TestClient, application: FastAPI, world: World) -> None:
    secret = {str(world.bravo.series), str(world.bravo.anomaly), str(world.bravo.proposal)}
    lists = [path for method, path in routes(application) if method == "GET" and "{" not in path]
    for path in lists:
        if path not in {"/v1/live", "/v1/readings", "/openapi.json"} and path.startswith("/v1/"):
            body = ops.get(path).json()
            ids = {str(item.get("id", item.get("series_id", ""))) for item in body.get("items", [])}
            assert not ids & secret, path
            assert '"bravo"' not in json.dumps(body), path


def test_every_route_of_the_document_says_what_it_does(application: FastAPI) -> None:
    document = application.openapi()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert operation["tags"], path
            if path not in {"/healthz", "/v1/auth/token", "/v1/claims:redeem", "/v1/carrier-events/{tenant}/{carrier}"}:
                assert operation["security"], (method, path)
    examples = [name for name, schema in document["components"]["schemas"].items() if "examples" in schema]
    assert {"Anomaly", "Proposal", "Series", "Site", "ShelfEvent", "ShelfPosition", "Readings", "Wall"} <= set(examples)


def test_every_answer_carries_the_security_headers(ops: TestClient) -> None:
    for path in ("/", "/login", "/docs", "/v1/sites", "/v1/none", "/static/base.css", "/healthz"):
        headers = ops.get(path).headers
        assert {name: headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS, path
        assert "unsafe" not in headers["Content-Security-Policy"]


def test_a_body_beyond_the_limit_is_refused_with_and_without_its_length(ops: TestClient) -> None:
    body = b'{"login": "' + b"x" * BODY_MAX_BYTES + b'"}'
    for content in (body, iter([body[:1_000], body[1_000:]])):
        answer = ops.post("/v1/auth/token", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        check_answer(answer, "large body")


def test_an_unknown_path_and_a_wrong_method_are_problems_too(ops: TestClient) -> None:
    for method, path, status in (("GET", "/v1/none", 404), ("DELETE", "/v1/sites", 405)):
        answer = ops.request(method, path)
        assert answer.status_code == status
        check_answer(answer, path)
