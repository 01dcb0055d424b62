"""Subscriptions of dealers: what concerns them and those below them, and nothing else."""

import json
from collections.abc import Iterator
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg.rows import DictRow, dict_row

from platform_api.webhooks import told
from platform_api.webhooks.rules import STATES
from tests.integration.api.conftest import bearer
from tests.integration.api.test_webhooks import send, tell
from tests.integration.api.world import World
from tests.services.receiver import Receiver, receive

Row = dict[str, Any]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as one:
        yield one


@pytest.fixture
def owner(world: World) -> Iterator[psycopg.Connection[DictRow]]:
    with psycopg.connect(world.dsn, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def dealer(anonymous: TestClient, world: World) -> TestClient:
    anonymous.headers.update(bearer(world, "dealer@acme"))
    return anonymous


def subscribe(client: TestClient, receiver: Receiver, path: str = "/hook", **body: Any) -> Row:
    answer = client.post("/v1/webhooks", json={"url": receiver.url + path, **body})
    assert answer.status_code == 201, answer.text
    return cast("Row", answer.json())


def happen(owner: psycopg.Connection[DictRow], org: str, site: str) -> None:
    """One event of each noun at an organisation and its site."""
    order, shipment = uuid4(), uuid4()
    values = {"order": order, "shipment": shipment, "id": uuid4(), "org": org, "site": site}
    for query in (
        """INSERT INTO credit_account (tenant_id, org_id, currency) VALUES ('acme', %(org)s, 'CNY')
           ON CONFLICT DO NOTHING""",
        """INSERT INTO sales_order (tenant_id, order_id, org_id, ship_from, ship_to, currency)
           VALUES ('acme', %(order)s, %(org)s, %(site)s, %(site)s, 'CNY')""",
        """INSERT INTO shipment (tenant_id, shipment_id, order_id, org_id, ship_from, ship_to, carrier_id, tracking_no)
           VALUES ('acme', %(shipment)s, %(order)s, %(org)s, %(site)s, %(site)s, 'van', %(shipment)s)""",
        """INSERT INTO order_return (tenant_id, return_id, order_id, org_id, reason)
           VALUES ('acme', %(id)s, %(order)s, %(org)s, 'crushed')""",
        """INSERT INTO ar_entry (tenant_id, entry_id, org_id, currency, kind, amount_minor, source)
           VALUES ('acme', %(id)s, %(org)s, 'CNY', 'payment', -500, %(id)s)""",
        """INSERT INTO transfer_request (tenant_id, transfer_id, origin, destination)
           VALUES ('acme', %(id)s, %(site)s, %(site)s || '.shelf')""",
        """WITH m AS (INSERT INTO stock_move (tenant_id, move_id, kind, happened_at, booked_at, source, source_event_id)
                      VALUES ('acme', %(id)s, 'hold', now(), now(), 'expiry', %(id)s))
           INSERT INTO stock_entry (tenant_id, move_id, entry_no, location_id, sku, units, value_minor, happened_at)
           VALUES ('acme', %(id)s, 1, %(site)s, 'tea', -1, 0, now()),
                  ('acme', %(id)s, 2, %(site)s || '.hold', 'tea', 1, 0, now())""",
        "INSERT INTO stock_count (tenant_id, count_id, location_id) VALUES ('acme', %(id)s, %(site)s)",
        """INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, state, triggered_at)
           VALUES (%(id)s, 'acme', %(site)s, 'tea', 1, 7, 'expired', now())""",
        """INSERT INTO anomaly (anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at,
                                detected_at, severity, score)
           VALUES (%(id)s, 'acme', %(site)s, 'gw-' || %(site)s, 'stuck_sensor', 'slot', 'x', now(), now(), 0.7, 0.9)""",
    ):
        owner.execute(query, values)


def bodies(receiver: Receiver, path: str = "/hook") -> list[Row]:
    return [json.loads(body) for where, _, body in receiver.requests if where == path]


def test_a_dealer_is_told_of_each_noun_what_is_theirs_in_the_shape_of_the_document(
    dealer: TestClient, application: FastAPI, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(dealer, receiver)
    assert hook["org"] == "east"
    happen(owner, "west", "west-1")
    assert send(owner) == 0
    happen(owner, "east", "east-1")
    assert send(owner) == len(STATES)
    document = application.openapi()
    nouns = {}
    for body in bodies(receiver):
        noun = body["type"].split(".")[1]
        model = told.DATA[noun]
        model.model_validate(body["data"])
        nouns[noun] = (set(body["data"]), body["type"])
        announced = document["webhooks"][noun]["post"]["requestBody"]["content"]["application/cloudevents+json"]
        schema = document["components"]["schemas"][announced["schema"]["$ref"].rsplit("/", 1)[1]]
        assert set(body) == set(schema["properties"]) - {"sandbox"} == set(schema["required"])
        assert body["type"] in schema["properties"]["type"]["enum"]
    assert {noun: keys for noun, (keys, _) in nouns.items()} == {
        noun: {field.alias or name for name, field in model.model_fields.items()} for noun, model in told.DATA.items()
    }
    assert set(document["webhooks"]) == {*STATES, "webhook.test"}


def test_what_concerns_an_organisation_below_is_told_to_those_above(
    dealer: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    subscribe(dealer, receiver, events=["proposal.expired"])
    owner.execute("INSERT INTO org VALUES ('acme', 'shop', 'east', 'store', 'Shop')")
    owner.execute("INSERT INTO site (tenant_id, site_id, org_id, name) VALUES ('acme', 'shop-1', 'shop', 'Shop')")
    tell(owner, site="shop-1")
    tell(owner, site="west-1")
    assert send(owner) == 1
    assert bodies(receiver)[0]["data"]["site"] == "shop-1"


def test_a_dealer_neither_sees_nor_replays_what_is_anothers(
    dealer: TestClient, world: World, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    tell(owner, site="west-1")
    tell(owner, site="east-1")
    mine = subscribe(dealer, receiver)
    dealer.headers.update(bearer(world, "hq@acme"))
    theirs = [subscribe(dealer, receiver, path="/west", org="west"), subscribe(dealer, receiver, path="/all")]
    everything = {one["id"] for one in dealer.get("/v1/webhooks").json()["items"]}
    assert {mine["id"], *(hook["id"] for hook in theirs)} < everything
    events = dealer.get("/v1/webhook-events").json()["items"]
    west = next(event["id"] for event in events if event["data"].get("site") == "west-1")
    dealer.headers.update(bearer(world, "dealer@acme"))
    assert [one["id"] for one in dealer.get("/v1/webhooks").json()["items"]] == [mine["id"]]
    assert all(event["data"].get("site") != "west-1" for event in dealer.get("/v1/webhook-events").json()["items"])
    for hook in theirs:
        path = f"/v1/webhooks/{hook['id']}"
        assert dealer.get(path).status_code == 404
        assert dealer.get(f"{path}/deliveries").status_code == 404
        for action, body in ((":rotate", None), (":test", None), (":replay", {"events": [west]})):
            assert dealer.post(path + action, json=body).status_code == 404
        changed = dealer.put(path, json={"url": receiver.url}, headers={"If-Match": '"1"'})
        assert changed.status_code == 404
    assert dealer.post(f"/v1/webhooks/{mine['id']}:replay", json={"events": [west]}).json()["events"] == 0
    since = {"from": "2026-01-01T00:00:00Z"}
    replayed = dealer.post(f"/v1/webhooks/{mine['id']}:replay", json=since).json()["events"]
    assert send(owner) == replayed > 0
    assert all(body["data"].get("site", "east-1") == "east-1" for body in bodies(receiver))


def test_an_organisation_is_named_by_those_who_see_it(dealer: TestClient, world: World, receiver: Receiver) -> None:
    for org in ("west", "brand", "none"):
        answer = dealer.post("/v1/webhooks", json={"url": receiver.url, "org": org})
        assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "body.org"), org
    dealer.headers.update(bearer(world, "hq@acme"))
    assert dealer.post("/v1/webhooks", json={"url": receiver.url, "org": "none"}).status_code == 422
    assert subscribe(dealer, receiver, org="east")["org"] == "east"
    assert subscribe(dealer, receiver)["org"] is None


def test_a_dealers_subscriptions_take_no_room_of_another(
    dealer: TestClient, world: World, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    owner.execute("INSERT INTO tenant_quota VALUES ('acme', 'webhooks', 2)")
    hooks = [subscribe(dealer, receiver) for _ in range(2)]
    assert dealer.post("/v1/webhooks", json={"url": receiver.url}).status_code == 403
    off = dealer.put(
        f"/v1/webhooks/{hooks[0]['id']}", json={"url": receiver.url, "enabled": False}, headers={"If-Match": '"1"'}
    )
    assert off.json()["org"] == "east"
    subscribe(dealer, receiver)
    on = dealer.put(f"/v1/webhooks/{hooks[0]['id']}", json={"url": receiver.url}, headers={"If-Match": '"2"'})
    assert on.status_code == 403
    dealer.headers.update(bearer(world, "hq@acme"))
    assert subscribe(dealer, receiver)["org"] is None
