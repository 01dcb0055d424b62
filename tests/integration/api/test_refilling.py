"""What a store shall put on its shelves, who is told, and who says that it is done; and the pictures of a delivery."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from platform_api import jobs
from platform_api.flows import confirming, refilling
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import PHOTO, act, credit, key, market, order, ship
from tests.integration.api.world import World, add_event

__all__ = ["market"]
SIGNATURE = b"\x89PNG\r\n\x1a\n Sun Li"


@pytest.fixture
def worker(world: World) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        yield connection


def send(market: TestClient, world: World, *parts: int) -> list[str]:
    """Shipments of an order of 20 units, in parts."""
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    it = act(market, order(market, dealer), "submit", dealer).json()
    urls = []
    for number, units in enumerate(parts):
        sent = ship(market, it, tracking_no=f"T{number}", units={"1": units})
        it = sent.json()
        urls.append(sent.headers["Location"])
    return urls


def sign(market: TestClient, url: str, **more: Any) -> Any:
    body = {"signer": "Sun Li", "at": datetime.now(UTC).isoformat(), **more}
    return market.post(f"{url}:deliver", json=body, headers=key())


def refills(client: TestClient) -> list[dict[str, Any]]:
    return list(client.get("/v1/refills", params={"site": "east-1"}).json()["items"])


def test_a_delivery_tells_the_store_and_its_gateway_to_refill_and_the_shelf_closes_it(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    first, second = send(market, world, 12, 8)
    assert sign(market, first).status_code == 201
    (task,) = refills(market)
    assert (task["sku"], task["units"], task["seen"], task["state"]) == ("tea", 12, 0, "open")
    assert first.endswith(task["source_id"])
    (command,) = market.get("/v1/gateways/gw-east-1/commands").json()["items"]
    assert (command["kind"], command["state"]) == ("refill_check", "queued")
    assert command["args"] == {"slots": ["s01-b1"], "refill": {"id": task["id"], "sku": "tea", "units": 12}}
    sign(market, second, accepted={"1": 6})
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-1", 14, 26)
    jobs.confirm_refills(worker, datetime.now(UTC))
    # The shelf saw 14: the 12 of the first are among them, and 2 of the 6 that were signed for of the second.
    assert [(one["units"], one["seen"], one["state"]) for one in refills(market)] == [(6, 2, "open"), (12, 12, "done")]
    verdicts = [market.get(url).json()["shelf_verdict"] for url in (first, second)]
    assert verdicts == ["confirmed", "waiting"]
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-2", 3, 29)
    jobs.confirm_refills(worker, datetime.now(UTC))
    assert [one["closed_by"] for one in refills(market)] == ["shelf", "shelf"]
    assert market.get(second).json()["shelf_verdict"] == "confirmed"


def test_what_the_shelf_does_not_see_in_a_week_is_disputed_and_its_task_is_over(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    (url,) = send(market, world, 20)
    sign(market, url)
    jobs.confirm_refills(worker, datetime.now(UTC) + timedelta(days=8))
    assert [one["state"] for one in refills(market)] == ["expired"]
    assert market.get(url).json()["shelf_verdict"] == "disputed"


def test_a_store_cancels_its_own_task_once_and_no_other_ones(market: TestClient, world: World) -> None:
    (url,) = send(market, world, 20)
    sign(market, url)
    (task,) = refills(market)
    path, store = f"/v1/refills/{task['id']}", bearer(world, "store@acme")
    assert market.get(path, headers=store).headers["ETag"] == '"1"'
    assert market.post(f"{path}:cancel", headers=store).status_code == 428
    done = market.post(f"{path}:cancel", headers={**store, "If-Match": '"1"'}).json()
    assert (done["state"], done["closed_by"]) == ("cancelled", "store@acme")
    assert market.post(f"{path}:cancel", headers={**store, "If-Match": '"2"'}).status_code == 409
    other = market.get("/v1/refills", params={"site": "west-1"}).json()["items"][0]["id"]
    assert market.get(f"/v1/refills/{other}", headers=store).status_code == 404


def test_units_that_somebody_leaves_in_the_back_room_are_no_dispute(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    (url,) = send(market, world, 20)
    sign(market, url)
    (task,) = refills(market)
    store = {**bearer(world, "store@acme"), "If-Match": '"1"'}
    assert market.post(f"/v1/refills/{task['id']}:cancel", headers=store).status_code == 200
    jobs.confirm_refills(worker, datetime.now(UTC) + timedelta(days=8))
    assert market.get(url).json()["shelf_verdict"] == "unknown"


def test_what_goes_on_waiting_keeps_nobody_else_from_being_watched(
    market: TestClient, world: World, worker: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (refilling, confirming):
        monkeypatch.setattr(module, "PAGE_MAX", 1)
    urls = send(market, world, 5, 5, 10)
    for url in urls:
        sign(market, url)
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-1", 10, 22)
    jobs.confirm_refills(worker, datetime.now(UTC))
    assert [market.get(url).json()["shelf_verdict"] for url in urls] == ["confirmed", "confirmed", "waiting"]
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-2", 10, 32)
    jobs.confirm_refills(worker, datetime.now(UTC))
    assert {one["state"] for one in refills(market)} == {"done"}
    assert market.get(urls[2]).json()["shelf_verdict"] == "confirmed"


def test_a_store_whose_shelves_do_not_count_the_sku_is_asked_nothing(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    (url,) = send(market, world, 20)
    worker.execute("DELETE FROM slot WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    sign(market, url)
    assert refills(market) == []
    jobs.confirm_refills(worker, datetime.now(UTC))
    assert market.get(url).json()["shelf_verdict"] == "unknown"


def test_signature_and_photo_are_read_back_by_whoever_sees_the_shipment_and_by_nobody_else(
    market: TestClient, world: World
) -> None:
    (url,) = send(market, world, 20)
    assert market.get(f"{url}/photo").status_code == 404
    pictures = {"signature": SIGNATURE, "photo": PHOTO}
    encoded = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    assert sign(market, url, **encoded).status_code == 201
    dealer = bearer(world, "dealer@acme")
    assert market.get(url, headers=dealer).json()["proof"]["photo"] is True
    for name, media_type in (("signature", "image/png"), ("photo", "image/jpeg")):
        answer = market.get(f"{url}/{name}", headers=dealer)
        assert (answer.content, answer.headers["Content-Type"]) == (pictures[name], media_type)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert market.get(f"{url}/{name}", headers=bearer(world, "hq@bravo")).status_code == 404
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE app_user SET org_id = 'west' WHERE login = 'dealer@acme'")
    assert market.get(f"{url}/photo", headers=dealer).status_code == 404


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"<svg onload='alert(1)'/>", "is neither JPEG nor PNG"),
        (PHOTO + bytes(150_000), "at most 150000 items"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(
    market: TestClient, world: World, picture: bytes, message: str
) -> None:
    (url,) = send(market, world, 20)
    refused = sign(market, url, photo=base64.b64encode(picture).decode())
    assert refused.status_code == 422
    assert message in refused.json()["errors"][0]["message"]
    assert market.get(url).json()["proof"] is None
