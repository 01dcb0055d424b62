import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from deploy.verify import verify
from platform_api.kit.db import Connection
from platform_api.stock.ledger import Move, post
from platform_api.stock.rules import MoveKind
from platform_api.stock.valuing import Leg
from tests.integration.api.conftest import bearer
from tests.integration.api.test_stock_ledger import connect
from tests.integration.api.world import World

RECEIPT = {"to": "east-1", "lines": [{"sku": "tea", "units": 30, "cost": {"amount": "90.00", "currency": "CNY"}}]}


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def stock(client: TestClient, location: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    items = client.get("/v1/stock", params={"location": location}, headers=headers).json()["items"]
    return items[0] if items else {}


def test_goods_are_received_once_and_moved_by_a_store_that_has_them(hq: TestClient, world: World) -> None:
    for _ in range(2):
        assert hq.post("/v1/receipts", json=RECEIPT, headers=key("delivery")).status_code == 201
    body = {"from": "east-1", "to": "east-1.shelf", "lines": [{"sku": "tea", "units": 10}]}
    store = bearer(world, "store@acme")
    moved = hq.post("/v1/transfers", json=body, headers={**store, **key("a")})
    assert moved.status_code == 201, moved.text
    there = stock(hq, "east-1", store)
    assert (there["on_hand"], there["atp"], there["value"]) == (20, 20, {"amount": "60.00", "currency": "CNY"})
    ledger = hq.get("/v1/stock-moves", params={"location": "east-1"}, headers=store).json()["items"]
    assert [(one["kind"], one["units"], one["value"]["amount"]) for one in ledger] == [
        ("transfer", -10, "-30.00"),
        ("receipt", 30, "90.00"),
    ]


def test_nobody_moves_what_is_elsewhere_or_what_is_not_there(hq: TestClient, world: World) -> None:
    hq.post("/v1/receipts", json=RECEIPT, headers=key("delivery"))
    away = {"from": "east-1", "to": "west-1", "lines": [{"sku": "tea", "units": 10}]}
    store = {**bearer(world, "store@acme"), **key("a")}
    assert hq.post("/v1/transfers", json=away, headers=store).status_code == 404
    too_many = {**away, "lines": [{"sku": "tea", "units": 31}]}
    refused = hq.post("/v1/transfers", json=too_many, headers=key("b"))
    assert (refused.status_code, refused.json()["detail"]) == (409, "east-1 has 30 units of tea that are not reserved")
    for place, status in (("nowhere", 404), (".customer", 409)):
        assert hq.post("/v1/transfers", json={**away, "to": place}, headers=key("c")).status_code == status
    assert hq.get("/v1/stock", headers=bearer(world, "hq@bravo")).json()["items"] == []


def test_a_sku_kept_by_lot_goes_out_first_expired_first(hq: TestClient) -> None:
    sku = {"sku": "milk", "name_en": "Milk", "unit_weight_g": 268, "by_lot": True}
    assert hq.post("/v1/skus", json=sku, headers=key("milk")).status_code == 201
    lines = [
        {"sku": "milk", "units": 10, "lot": "later", "expires": "2099-03-01"},
        {"sku": "milk", "units": 10, "lot": "sooner", "expires": "2099-02-01"},
    ]
    made = hq.post("/v1/receipts", json={"to": "east-1", "lines": lines}, headers=key("a"))
    assert made.status_code == 201, made.text
    hq.post(
        "/v1/transfers",
        json={"from": "east-1", "to": "west-1", "lines": [{"sku": "milk", "units": 12}]},
        headers=key("b"),
    )
    left = hq.get("/v1/lots", params={"location": "east-1", "sku": "milk"}).json()
    assert [(lot["lot"], lot["units"]) for lot in left] == [("later", 8)]
    there = hq.get("/v1/lots", params={"location": "west-1", "sku": "milk"}).json()
    assert [(lot["lot"], lot["units"]) for lot in there] == [("sooner", 10), ("later", 2)]
    without = {"to": "east-1", "lines": [{"sku": "milk", "units": 1}]}
    assert hq.post("/v1/receipts", json=without, headers=key("c")).status_code == 422
    other = {"to": "east-1", "lines": [{**lines[0], "expires": "2099-04-01"}]}
    assert hq.post("/v1/receipts", json=other, headers=key("d")).status_code == 409


def test_what_has_expired_leaves_neither_by_its_lot_nor_as_units_without_one(hq: TestClient, world: World) -> None:
    sku = {"sku": "milk", "name_en": "Milk", "unit_weight_g": 268, "by_lot": True}
    hq.post("/v1/skus", json=sku, headers=key("milk"))
    lines = [
        {"sku": "milk", "units": 10, "lot": "old", "expires": "2020-01-01"},
        {"sku": "milk", "units": 4, "lot": "new", "expires": "2099-01-01"},
    ]
    hq.post("/v1/receipts", json={"to": "east-1", "lines": lines}, headers=key("a"))
    away = {"from": "east-1", "to": "west-1", "lines": [{"sku": "milk", "units": 5}]}
    refused = hq.post("/v1/transfers", json=away, headers=key("b"))
    assert (refused.status_code, "have not expired" in refused.json()["detail"]) == (409, True)
    away["lines"] = [{"sku": "milk", "units": 4}]
    assert hq.post("/v1/transfers", json=away, headers=key("c")).status_code == 201
    left = hq.get("/v1/lots", params={"location": "east-1", "sku": "milk"}).json()
    assert [(lot["lot"], lot["units"]) for lot in left] == [("old", 10)]
    loss = {"at": "east-1", "sku": "milk", "units": -10, "reason": "expired", "loss": True}
    assert hq.post("/v1/adjustments", json=loss, headers=key("d")).status_code == 201
    report = verify(world.dsn)
    assert report.invariants["I3"], report.broken


def test_what_is_due_can_be_promised_and_is_received_once(hq: TestClient) -> None:
    due = {"to": "east-1", "sku": "tea", "units": 30, "due_at": "2030-01-01T00:00:00Z"}
    expected = hq.post("/v1/due-receipts", json=due, headers=key("a"))
    hq.post("/v1/receipts", json=RECEIPT, headers=key("b"))
    assert stock(hq, "east-1")["atp"] == 60
    arrival = {**RECEIPT, "due": expected.json()["id"]}
    assert hq.post("/v1/receipts", json=arrival, headers=key("c")).status_code == 201
    assert hq.post("/v1/receipts", json=arrival, headers=key("d")).status_code == 404
    assert (stock(hq, "east-1")["on_hand"], stock(hq, "east-1")["atp"]) == (60, 60)


def test_a_count_is_blind_and_booked_as_of_its_time_with_a_reason(hq: TestClient, world: World) -> None:
    hq.post("/v1/receipts", json=RECEIPT, headers=key("delivery"))
    store = bearer(world, "store@acme")
    asked = hq.post("/v1/counts", json={"at": "east-1"}, headers={**store, **key("a")})
    assert (asked.status_code, asked.json()["lines"][0]["booked"]) == (201, None)
    path = asked.headers["Location"]
    with psycopg.connect(world.dsn) as owner:
        owner.execute(
            """INSERT INTO recon_case (tenant_id, case_id, location_id, sku, state, observed, booked, as_of, count_id)
               VALUES ('acme', gen_random_uuid(), 'east-1', 'tea', 'count_asked', 28, 30, now(), %s)""",
            (asked.json()["id"],),
        )
    assert cases(hq, store) == [(28, None)]
    assert ",28,,2" in hq.get("/v1/exports", params={"noun": "recon-cases"}, headers=store).text
    assert hq.post(f"{path}:submit", headers={**store, "If-Match": '"1"'}).status_code == 409  # nothing counted yet
    noted = hq.put(f"{path}/lines", json={"lines": [{"sku": "tea", "counted": 28}]}, headers=store)
    assert noted.headers["ETag"] == '"2"'
    assert hq.post(f"{path}:submit", headers={**store, "If-Match": '"1"'}).status_code == 412  # somebody counted since
    assert hq.post(f"{path}:submit", headers={**store, "If-Match": '"2"'}).json()["state"] == "submitted"
    away = {"from": "east-1", "to": "west-1", "lines": [{"sku": "tea", "units": 10}]}
    hq.post("/v1/transfers", json=away, headers=key("b"))
    refused = hq.post(f"{path}:post", headers={"If-Match": '"3"'})
    told = "differences need a reason: tea (counted 28, booked 30)"
    assert (refused.status_code, refused.json()["detail"]) == (409, told)
    elsewhere = {"reasons": {"milk": "two broken"}}
    assert hq.post(f"{path}:post", json=elsewhere, headers={"If-Match": '"3"'}).status_code == 422
    booked = hq.post(f"{path}:post", json={"reasons": {"tea": "two broken"}}, headers={"If-Match": '"3"'})
    assert booked.status_code == 200, booked.text
    assert booked.json()["lines"] == [{"sku": "tea", "counted": 28, "reason": "two broken", "booked": 30}]
    assert stock(hq, "east-1")["on_hand"] == 18
    assert hq.post(f"{path}:post", headers={"If-Match": '"4"'}).status_code == 409
    assert cases(hq, store) == [(28, 30)]


def cases(client: TestClient, headers: dict[str, str]) -> list[tuple[int, int | None]]:
    """What shelves show and what is booked, where they differ."""
    found = client.get("/v1/recon-cases", headers=headers).json()["items"]
    return [(one["observed"], one["booked"]) for one in found]


def test_what_two_counts_found_is_booked_once_whichever_is_booked_first(hq: TestClient) -> None:
    hq.post("/v1/receipts", json=RECEIPT, headers=key("delivery"))
    paths = []
    for name in ("monthly", "again"):
        path = hq.post("/v1/counts", json={"at": "east-1"}, headers=key(name)).headers["Location"]
        line = {"sku": "tea", "counted": 28, "reason": "two broken"}
        hq.put(f"{path}/lines", json={"lines": [line]})
        assert hq.post(f"{path}:submit", headers={"If-Match": '"2"'}).status_code == 200
        paths.append(path)
    booked = [hq.post(f"{path}:post", headers={"If-Match": '"3"'}).json()["lines"][0] for path in reversed(paths)]
    assert [line["booked"] for line in booked] == [30, None]
    assert stock(hq, "east-1")["on_hand"] == 28


def test_a_count_of_a_month_that_was_closed_since_is_booked_today(hq: TestClient, world: World) -> None:
    month = datetime.now(UTC).replace(day=1, hour=12) - timedelta(days=2)
    receipt = {**RECEIPT, "happened": (month - timedelta(hours=1)).isoformat()}
    assert hq.post("/v1/receipts", json=receipt, headers=key("delivery")).status_code == 201
    path = hq.post("/v1/counts", json={"at": "east-1"}, headers=key("count")).headers["Location"]
    hq.put(f"{path}/lines", json={"lines": [{"sku": "tea", "counted": 28, "reason": "two broken"}]})
    assert hq.post(f"{path}:submit", headers={"If-Match": '"2"'}).status_code == 200
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE stock_count SET counted_at = %s", (month,))
    closed = hq.post("/v1/stock-periods", json={"month": month.date().isoformat()}, headers=key("close"))
    assert closed.status_code == 201, closed.text
    booked = hq.post(f"{path}:post", headers={"If-Match": '"3"'})
    assert (booked.status_code, booked.json()["lines"][0]["booked"]) == (200, 30), booked.text
    with psycopg.connect(world.dsn) as owner:
        told = owner.execute("SELECT happened_at, booked_at::date FROM stock_move WHERE kind = 'count'").fetchone()
    assert told == (month, datetime.now(UTC).date())
    assert stock(hq, "east-1")["on_hand"] == 28


def test_a_count_is_booked_beside_a_late_sale_as_if_one_came_after_the_other(hq: TestClient, world: World) -> None:
    hq.post("/v1/receipts", json=RECEIPT, headers=key("delivery"))
    path = hq.post("/v1/counts", json={"at": "east-1"}, headers=key("count")).headers["Location"]
    before = datetime.now(UTC)
    hq.put(f"{path}/lines", json={"lines": [{"sku": "tea", "counted": 28, "reason": "two sold"}]})
    hq.post(f"{path}:submit", headers={"If-Match": '"2"'})
    with connect(world) as late, ThreadPoolExecutor(1) as other:
        sell(late, 2, at=before)
        posting = other.submit(hq.post, f"{path}:post", headers={"If-Match": '"3"'})
        wait_for_a_lock(world)
        late.commit()
        assert posting.result().status_code == 200, posting.result().text
    assert stock(hq, "east-1")["on_hand"] == 28


def sell(tx: Connection, units: int, *, at: datetime) -> None:
    legs = [Leg("east-1", "tea", -units), Leg(".customer", "tea", units)]
    move = Move(kind=MoveKind.SALE, happened_at=at, legs=legs, source="late", source_event_id="1")
    post(tx, "acme", move, at)


def wait_for_a_lock(world: World) -> None:
    deadline = time.monotonic() + 60
    with psycopg.connect(world.dsn, autocommit=True) as owner:
        while owner.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
            assert time.monotonic() < deadline, "nobody waits"


@pytest.mark.parametrize(("units", "loss", "kind"), [(-2, True, "loss"), (-2, False, "adjust"), (3, False, "adjust")])
def test_a_correction_names_its_reason(hq: TestClient, units: int, kind: str, *, loss: bool) -> None:
    hq.post("/v1/receipts", json=RECEIPT, headers=key("delivery"))
    body = {"at": "east-1", "sku": "tea", "units": units, "reason": "broken bottles", "loss": loss}
    assert hq.post("/v1/adjustments", json={**body, "reason": ""}, headers=key("a")).status_code == 422
    assert hq.post("/v1/adjustments", json=body, headers=key("b")).status_code == 201
    (newest, *_) = hq.get("/v1/stock-moves", params={"location": "east-1"}).json()["items"]
    assert (newest["kind"], newest["units"], newest["reason"]) == (kind, units, "broken bottles")


def test_a_month_is_closed_when_it_is_over_and_refuses_then(hq: TestClient) -> None:
    assert hq.post("/v1/stock-periods", json={"month": "2999-01-01"}, headers=key("a")).status_code == 409
    closed = hq.post("/v1/stock-periods", json={"month": "2025-12-31"}, headers=key("b"))
    assert (closed.status_code, closed.json()["month"]) == (201, "2025-12-01")
    late = {**RECEIPT, "happened": "2025-12-24T10:00:00Z"}
    refused = hq.post("/v1/receipts", json=late, headers=key("c"))
    assert (refused.status_code, refused.json()["detail"]) == (409, "2025-12 is closed")
