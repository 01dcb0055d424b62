"""The examples of the OpenAPI document run, in a sandbox, and the sandbox begins anew after them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from typer.testing import CliRunner

from contracts.errors import UserError
from deploy.demo.channel.pictures import picture_of
from deploy.verify import verify
from platform_api.app import create_app
from platform_api.flows import sandboxing
from platform_api.kit.destinations import Reach
from platform_api.kit.signatures import is_signed, signed_headers
from platform_api.main import app as api
from platform_api.webhooks.delivering import Sending, deliver
from tests.integration.api.serving import settings_for
from tests.services.databases import Server, clone
from tests.services.receiver import receive

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FILES: Final = {"image/jpeg", "image/png", "image/webp", XLSX}
"""Bodies that no text can show."""
EXAMPLE: Final = object()


@dataclass(frozen=True)
class Step:
    """A request: of an operation of the document, answered with ``status``.

    The body is the document's example unless another is given (None: there is none). ``where`` fills the path beside
    what earlier steps kept, ``keep`` names the id of what this one makes, ``seen`` is its If-Match where none can be
    read before.
    """

    route: str
    status: int = 200
    body: object = EXAMPLE
    where: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    keep: str = ""
    seen: str = ""


def _cart(org: str, site: str) -> dict[str, object]:
    return {"org": org, "ship_to": site, "lines": [{"sku": "tea-500", "uom": "case", "packs": 1}]}


FIRST, SECOND = {"anomaly_id": "first"}, {"anomaly_id": "second"}
STORY: Final = (
    # There is no password that everybody knows, and no code that is good twice.
    Step("POST /v1/auth/token", 401),
    Step("POST /v1/claims:redeem", 403),
    Step("POST /v1/anomalies/{anomaly_id}:acknowledge", where=FIRST),
    Step("POST /v1/anomalies/{anomaly_id}:label", where=FIRST),
    Step("POST /v1/anomalies/{anomaly_id}:resolve", where=FIRST),
    Step("POST /v1/anomalies/{anomaly_id}:dismiss", where=SECOND),
    Step("PUT /v1/policies/{site}/{sku}"),
    Step("PUT /v1/transfer-lanes/{site}/{destination}", where={"site": "wh-east", "destination": "sh-001"}),
    Step("POST /v1/pos-sales"),
    Step("POST /v1/gateways/{gateway}:invite", 201),
    Step("POST /v1/gateways/{gateway}/commands", 201),
    Step("PUT /v1/gateways/{gateway}/config", seen='"0"'),
    Step("POST /v1/skus", 201),
    Step("PUT /v1/skus/{sku}"),
    Step("PUT /v1/skus/{sku}/image", 204, body=picture_of("tea-500", 0, 1), seen="none"),
    Step("POST /v1/price-lists", 201),
    Step("PUT /v1/price-lists/{list_id}", where={"list_id": "east-2026"}),
    Step("PUT /v1/orgs/{org}/entitlements"),
    Step("POST /v1/receipts", 201),
    Step("POST /v1/transfers", 201),
    Step("POST /v1/adjustments", 201),
    Step("POST /v1/stock-holds", 201),
    Step("POST /v1/stock-holds:release", 201),
    Step("POST /v1/stock-holds", 201),
    Step("POST /v1/stock-holds:write-off", 201),
    Step("POST /v1/transfer-requests", 201, keep="transfer_id"),
    Step("POST /v1/transfer-requests/{transfer_id}:send", 201),
    Step("POST /v1/transfer-requests/{transfer_id}:receive", 201),
    Step("POST /v1/transfer-requests", 201, keep="transfer_id"),
    Step("POST /v1/transfer-requests/{transfer_id}:close"),
    Step("POST /v1/due-receipts", 201),
    Step("POST /v1/counts", 201, keep="count_id"),
    Step("PUT /v1/counts/{count_id}/lines"),
    Step("POST /v1/counts/{count_id}:submit", body=None),
    Step("POST /v1/counts/{count_id}:post"),
    Step("POST /v1/stock-periods", 201),
    Step("PUT /v1/depletion-sources/{site}/{sku}"),
    Step("PUT /v1/orgs/{org}/credit"),
    Step("POST /v1/payments", 201),
    Step("POST /v1/quotes"),
    Step("POST /v1/orders", 201, keep="order_id"),
    Step("PUT /v1/orders/{order_id}"),
    Step("PUT /v1/orders/{order_id}/discounts"),
    Step("POST /v1/orders/{order_id}:submit", body=None),
    Step("POST /v1/orders/{order_id}/shipments", 201, keep="shipment_id"),
    Step("POST /v1/shipments/{shipment_id}:deliver", 201),
    Step("POST /v1/orders/{order_id}/returns", 201, keep="return_id"),
    Step("POST /v1/returns/{return_id}:reject"),
    Step("POST /v1/orders/{order_id}/returns", 201, keep="return_id"),
    Step("POST /v1/returns/{return_id}:approve", body=None),
    Step("POST /v1/returns/{return_id}:receive", 201),
    # A dealer without credit.
    Step("POST /v1/orders", 201, body=_cart("dealer-north", "bj-001"), keep="order_id"),
    Step("POST /v1/orders/{order_id}:submit", body=None),
    Step("POST /v1/orders/{order_id}:override"),
    # A carrier that tells.
    Step("POST /v1/carriers", 201, keep="carrier"),
    Step("POST /v1/orders", 201, body=_cart("dealer-east", "sh-001"), keep="order_id"),
    Step("POST /v1/orders/{order_id}:submit", body=None),
    Step("POST /v1/orders/{order_id}/shipments", 201, body={"carrier": "sf", "tracking_no": "SF1001"}),
    Step("POST /v1/carrier-events/{tenant}/{carrier}", 204),
    Step("POST /v1/orders", 201, body=_cart("dealer-east", "sh-001"), keep="order_id"),
    Step("POST /v1/orders/{order_id}:cancel"),
    Step("POST /v1/orgs", 201),
    Step("PUT /v1/orgs/{org}"),
    Step("POST /v1/users", 201, keep="user_id"),
    Step("PUT /v1/users/{user_id}"),
    Step("POST /v1/api-keys", 201),
    Step("POST /v1/webhooks", 201, keep="webhook_id"),
    Step("PUT /v1/webhooks/{webhook_id}"),
    Step("POST /v1/webhooks/{webhook_id}:replay", 202),
    Step("POST /v1/imports", 201, query="?kind=skus"),
)


class Integrator:
    """Who goes through the document with a key of the sandbox."""

    def __init__(self, client: TestClient, document: Mapping[str, Any], made: sandboxing.Sandbox) -> None:
        self.client = client
        self.names = {"tenant": made.tenant, "site": "sh-001", "sku": "tea-500", "gateway": "gw-sh-001"}
        self.names["org"] = "dealer-east"
        anomalies = [one["id"] for one in client.get("/v1/anomalies").json()["items"]]
        self._anomalies = dict(zip(("first", "second"), anomalies, strict=True))
        self._document = document
        self._secret = ""
        self._keys = count()

    def take(self, step: Step) -> Any:
        """Send a request, and keep what it made."""
        method, _, pattern = step.route.partition(" ")
        operation = self._document["paths"][pattern][method.lower()]
        names = {**self.names, **step.where}
        names["anomaly_id"] = self._anomalies.get(names.get("anomaly_id", ""), "")
        path = pattern.format(**names)
        content, media = self._body(step, operation)
        headers = {"Content-Type": media} if media else {}
        asked = {one["name"].lower() for one in operation.get("parameters", []) if one["in"] == "header"}
        if "idempotency-key" in asked:
            headers["Idempotency-Key"] = f"example-{next(self._keys)}"
        if "if-match" in asked and step.seen != "none":
            headers["If-Match"] = step.seen or self._seen(path)
        if "webhook-signature" in asked:
            headers |= signed_headers([self._secret], "event-1", datetime.now(UTC), content.decode())
        answer = self.client.request(method, path + step.query, content=content, headers=headers)
        if step.keep and answer.is_success:
            self._keep(step.keep, answer)
        return answer

    def _body(self, step: Step, operation: Mapping[str, Any]) -> tuple[bytes, str]:
        if step.body is None:
            return b"", ""
        contents = operation["requestBody"]["content"]
        if isinstance(step.body, bytes):
            return step.body, next(iter(contents.keys() & {"image/png"}))
        media, shown = next((media, one["example"]) for media, one in contents.items() if media not in FILES)
        body = shown if step.body is EXAMPLE else step.body
        return (body if isinstance(body, str) else json.dumps(body)).encode(), media

    def _seen(self, path: str) -> str:
        thing = re.match(r"/v1/[a-z-]+/[^/:]+", path)
        assert thing is not None
        return str(self.client.get(thing[0]).headers["ETag"])

    def _keep(self, name: str, answer: Any) -> None:
        made = answer.json()
        location = answer.headers.get("Location", "")
        self.names[name] = location.rpartition("/")[2] if name == "shipment_id" else made["id"]
        self._secret = made.get("secret", self._secret) if name == "carrier" else self._secret


@pytest.fixture
def dsn(postgres_server: Server) -> Iterator[str]:
    """A database with one tenant. Each test has its own: a sandbox that another used is not as it began."""
    with clone(postgres_server) as one, psycopg.connect(one) as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name) VALUES ('acme', 'Acme')")
        connection.commit()
        yield one


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection[DictRow]]:
    """The connection of commands and of the worker."""
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def command(dsn: str, *arguments: str) -> Any:
    """What `shelfpulse api sandbox` prints. Raises UserError."""
    ran = CliRunner().invoke(api, ["sandbox", *arguments, "--json"], env={"SHELFPULSE_DSN": dsn})
    if ran.exception is not None:
        raise ran.exception
    return json.loads(ran.output)


@pytest.fixture
def made(dsn: str) -> sandboxing.Sandbox:
    """The sandbox of acme."""
    return sandboxing.Sandbox(**command(dsn, "acme"))


@pytest.fixture
def application(dsn: str) -> FastAPI:
    return create_app(settings_for(dsn))


@pytest.fixture
def client(application: FastAPI, made: sandboxing.Sandbox) -> Iterator[TestClient]:
    with TestClient(application, raise_server_exceptions=False) as one:
        one.headers["Authorization"] = f"Bearer {made.key}"
        yield one


def with_bodies(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The bodies of each operation that has one, by media type."""
    return {
        f"{method.upper()} {path}": operation["requestBody"]["content"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }


def rows_of(owner: psycopg.Connection[DictRow], tenant: str) -> dict[str, int]:
    """How many rows a tenant has in each table that a reset does not leave alone."""
    counts = {}
    for one in owner.execute(sandboxing.TABLES).fetchall():
        if one["name"] not in sandboxing.STAYS | {"webhook"}:
            query = sql.SQL("SELECT count(*) AS n FROM {} WHERE {} = %s")
            names = sql.Identifier(one["name"]), sql.Identifier(one["tenant"])
            row = owner.execute(query.format(*names), (tenant,)).fetchone()
            assert row is not None
            counts[one["name"]] = row["n"]
    return counts


def test_each_body_of_the_document_has_an_example_and_each_example_its_step(application: FastAPI) -> None:
    bodies = with_bodies(application.openapi())
    assert len(bodies) > 45
    assert {route for route, contents in bodies.items() if "example" not in next(iter(contents.values()))} == {
        "PUT /v1/skus/{sku}/image"
    }
    assert {step.route for step in STORY if step.body is EXAMPLE or isinstance(step.body, bytes)} == bodies.keys()


@pytest.mark.timeout(600)
def test_each_example_runs_in_a_sandbox_which_begins_anew_after_them(
    client: TestClient, application: FastAPI, owner: psycopg.Connection[DictRow], made: sandboxing.Sandbox, dsn: str
) -> None:
    application.state.limits._requests._per_s = 1e6
    first = rows_of(owner, made.tenant)
    integrator = Integrator(client, application.openapi(), made)
    wrong = {}
    for step in STORY:
        answer = integrator.take(step)
        if answer.status_code != step.status:
            wrong[step.route] = (answer.status_code, answer.text)
    assert wrong == {}
    report = verify(dsn)
    assert report.broken == [], report
    assert rows_of(owner, made.tenant) != first
    assert command(dsn, "acme", "--reset") == {"tenant": made.tenant, "of": "acme"}
    assert rows_of(owner, made.tenant) == first
    # Whoever has a key goes on with it, and their subscriptions stay.
    assert client.get("/v1/me").json()["sandbox"] is True
    assert len(client.get("/v1/webhooks").json()["items"]) == 1
    assert client.get("/v1/orders").json()["items"] == []


def test_what_a_reset_spares_is_named_by_tables_that_there_are(owner: psycopg.Connection[DictRow]) -> None:
    assert sandboxing.STAYS | sandboxing.GOES.keys() <= {
        one["name"] for one in owner.execute(sandboxing.TABLES).fetchall()
    }


def test_a_tenant_has_one_sandbox_and_a_sandbox_none(made: sandboxing.Sandbox, dsn: str) -> None:
    for arguments, why in (
        (("acme",), "already"),
        (("nobody",), "no tenant"),
        ((made.tenant,), "is a sandbox itself"),
        ((made.tenant, "--reset"), "has no sandbox"),
    ):
        with pytest.raises(UserError, match=why):
            command(dsn, *arguments)


def test_what_happens_in_a_sandbox_is_told_as_a_trial(
    client: TestClient, owner: psycopg.Connection[DictRow], made: sandboxing.Sandbox
) -> None:
    with receive() as receiver:
        hook = client.post("/v1/webhooks", json={"url": f"{receiver.url}/hook", "events": ["proposal.expired"]}).json()
        owner.execute("UPDATE proposal SET state = 'expired' WHERE tenant_id = %s AND sku = 'tea-500'", (made.tenant,))
        assert deliver(owner, lambda: datetime.now(UTC), Sending(reach=Reach(loopback=True), timeout_s=60.0)) == 1
        ((_, headers, body),) = receiver.requests
    assert headers["shelfpulse-sandbox"] == "true"
    assert json.loads(body)["sandbox"] is True
    assert is_signed(hook["secret"], headers, body)


def test_a_key_of_a_sandbox_cannot_be_taken_for_a_real_one(client: TestClient, made: sandboxing.Sandbox) -> None:
    assert made.key.startswith("spk_test_")
    disguised = {"Authorization": f"Bearer {made.key.replace('spk_test_', 'spk_')}"}
    assert client.get("/v1/me", headers=disguised).status_code == 401
    another = client.post("/v1/api-keys", json={"login": made.login, "name": "another"}).json()
    assert another["key"].startswith(f"spk_test_{another['prefix']}_")
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {another['key']}"}).json()["tenant"] == made.tenant
