"""Orders, shipments and stock moves from files: posted once, by what posts any other, or told row by row."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient

from platform_api.exports.files import Format
from platform_api.flows.importing import import_file
from platform_api.kit.nouns import Kind, Noun
from tests.integration.api.conftest import bearer
from tests.integration.api.test_files import cells, exported, upload
from tests.integration.api.test_ordering import account, credit, holds, market
from tests.integration.api.world import World
from tests.services.tables import written

__all__ = ["market"]

MOVES = "reference,line,kind,location,to,sku,units,value_minor,lot,expires,happened,reason\n"
ORDERS = "org,reference,line,ship_to,sku,uom,packs,submit\n"
SHIPMENTS = "carrier,tracking_no,org,reference,line,units,signer,delivered,accepted\n"


def commit(client: TestClient, kind: Kind, content: str | bytes) -> dict[str, Any]:
    staged = upload(client, kind, content)
    assert staged["faults"] == []
    answer = client.post(f"/v1/imports/{staged['id']}:commit")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def counts(told: dict[str, Any]) -> tuple[int, int, int]:
    return told["created"], told["updated"], told["unchanged"]


def faults(client: TestClient, kind: Kind, content: str) -> list[tuple[int, str]]:
    told = upload(client, kind, content)
    assert told["state"] == "refused"
    return [(fault["row"], fault["column"]) for fault in told["faults"]]


def stock(client: TestClient, location: str) -> dict[str, tuple[int, str]]:
    items = client.get("/v1/stock", params={"location": location}).json()["items"]
    return {item["sku"]: (item["on_hand"], item["value"]["amount"]) for item in items}


def test_opening_balances_and_corrections_are_in_the_ledger_once(market: TestClient, world: World) -> None:
    file = MOVES + (
        "open-1,1,opening,east-1,,tea,30,6000,,,2026-11-01T08:00:00Z,\n"
        "open-1,2,opening,wh,,sku-acme,10,1000,,,,\n"
        "fix-1,1,adjust,east-1,,tea,-4,,,,,counted\n"
        "fix-2,1,loss,wh,,tea,5,,,,,wet\n"
        "move-1,1,transfer,wh,east-1,tea,10,,,,,\n"
    )
    staged = upload(market, Kind.MOVES, file)
    assert (staged["faults"], counts(staged)) == ([], (5, 0, 0))
    assert "tea" not in stock(market, "east-1")
    assert counts(commit(market, Kind.MOVES, file)) == (5, 0, 0)
    assert stock(market, "east-1")["tea"] == (36, "62.00")
    assert (stock(market, "wh")["tea"], stock(market, "wh")["sku-acme"]) == ((35, "35.00"), (10, "10.00"))
    assert counts(commit(market, Kind.MOVES, file)) == (0, 0, 5)
    assert stock(market, "east-1")["tea"] == (36, "62.00")
    holds(world)
    header, rows = cells(exported(market, Noun.MOVES, Format.XLSX))
    mine = [row for row in rows if row[header.index("reference")] == "open-1"]
    assert {(row[header.index("location")], row[header.index("units")]) for row in mine} >= {
        ("east-1", "30"),
        ("wh", "10"),
    }


def test_each_row_that_the_ledger_refuses_is_told_and_none_stays(market: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE sku SET by_lot = true WHERE tenant_id = 'acme' AND sku = 'sku-acme'")
        owner.execute("INSERT INTO stock_period (tenant_id, month) VALUES ('acme', '2026-01-01')")
    before = stock(market, "wh")
    file = MOVES + (
        "a,1,opening,wh,,tea,5,,,,,\n"
        "b,1,opening,nowhere,,tea,5,,,,,\n"
        "c,1,opening,wh,,none,5,,,,,\n"
        "d,1,adjust,wh,,tea,-500,,,,,counted\n"
        "e,1,opening,wh,,sku-acme,5,,,,,\n"
        "f,1,opening,wh,,sku-acme,5,,L1,2027-01-01,,\n"
        "g,1,opening,wh,,sku-acme,5,,L1,2027-02-01,,\n"
        "h,1,opening,wh,,tea,5,,,,2999-01-01T00:00:00Z,\n"
        "i,1,transfer,wh,,tea,5,,,,,\n"
        "j,1,adjust,wh,,tea,5,,,,,\n"
        "k,1,opening,wh,,tea,0,,,,,\n"
        "l,1,opening,wh,,tea,5,,,,2026-01-05T08:00:00Z,\n"
    )
    assert faults(market, Kind.MOVES, file) == [
        (3, ""), (4, "sku"), (5, ""), (6, "lot"), (8, ""), (9, "happened"), (10, ""), (11, ""), (12, ""), (13, ""),
    ]  # fmt: skip
    assert stock(market, "wh") == before


def test_a_document_that_is_told_with_other_contents_is_a_fault(market: TestClient) -> None:
    commit(market, Kind.MOVES, MOVES + "a,1,opening,wh,,tea,5,,,,,\n")
    told = upload(market, Kind.MOVES, MOVES + "a,1,opening,wh,,tea,6,,,,,\nb,1,opening,wh,,tea,6,,,,,\n")
    assert [(fault["row"], fault["message"][:33]) for fault in told["faults"]] == [
        (2, "a/1 was told before with other co")
    ]


def test_orders_and_shipments_go_the_way_of_any_other(market: TestClient, world: World) -> None:
    credit(market, "500.00", auto=True)
    orders = (
        ORDERS + "east,po-1,1,east-1,tea,case,2,\neast,po-1,2,east-1,tea,case,1,\neast,po-2,1,east-1,tea,case,1,false\n"
    )
    assert counts(commit(market, Kind.ORDERS, orders)) == (3, 0, 0)
    listed = {one["reference"]: one for one in market.get("/v1/orders").json()["items"]}
    assert (listed["po-1"]["state"], listed["po-1"]["total"]["amount"]) == ("allocated", "203.40")
    assert listed["po-2"]["state"] == "draft"
    assert account(market)["committed"] == "203.40"
    assert counts(commit(market, Kind.ORDERS, orders)) == (0, 0, 3)

    sent = SHIPMENTS + "van,t-1,east,po-1,1,20,,,\nvan,t-1,east,po-1,2,5,,,\n"
    assert counts(commit(market, Kind.SHIPMENTS, sent)) == (2, 0, 0)
    assert account(market)["receivable"] == "169.50"
    assert market.get(f"/v1/orders/{listed['po-1']['id']}").json()["state"] == "part_shipped"
    signed = SHIPMENTS + (
        "van,t-1,east,po-1,1,20,Sun Li,2026-11-20T09:30:00Z,18\nvan,t-1,east,po-1,2,5,Sun Li,2026-11-20T09:30:00Z,\n"
    )
    assert counts(commit(market, Kind.SHIPMENTS, signed)) == (0, 2, 0)
    assert stock(market, "east-1")["tea"][0] == 23
    for again in (sent, signed):
        assert counts(commit(market, Kind.SHIPMENTS, again)) == (0, 0, 2)
    assert stock(market, "east-1")["tea"][0] == 23
    holds(world)


def test_what_is_wrong_with_orders_and_shipments_is_told_by_row(market: TestClient) -> None:
    orders = ORDERS + (
        "east,po-1,1,east-1,tea,case,1,\n"
        "east,po-2,1,east-1,tea,case,1,\n"
        "east,po-2,2,east-1,tea,box,1,\n"
        "east,po-2,3,east-1,none,unit,1,\n"
        "nobody,po-3,1,east-1,tea,case,1,\n"
        "east,po-4,1,nowhere,tea,case,1,\n"
        "east,po-5,1,east-1,tea,case,1,\n"
        "east,po-5,2,west-1,tea,case,1,\n"
        "east,po-1,2,east-1,tea,case,1,\n"
    )
    assert faults(market, Kind.ORDERS, orders) == [(4, ""), (5, ""), (6, ""), (7, "ship_to"), (9, "ship_to"), (10, "")]
    assert market.get("/v1/orders", params={"org": "east"}).json()["items"] == []
    commit(market, Kind.ORDERS, ORDERS + "east,po-1,1,east-1,tea,case,1,\n")
    shipments = SHIPMENTS + (
        "van,t-1,east,po-1,1,10,,,\nvan,t-2,east,po-9,1,10,,,\nufo,t-3,east,po-1,1,10,,,\nvan,t-4,,,1,10,,,\n"
    )
    assert faults(market, Kind.SHIPMENTS, shipments) == [(2, ""), (3, "reference"), (4, ""), (5, "")]


def test_only_people_of_the_whole_tenant_bring_files(market: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE app_user SET org_id = 'east' WHERE login = 'hq@acme'")
    headers = {"Idempotency-Key": str(uuid4())}
    assert market.get("/v1/imports").status_code == 403
    for kind in (Kind.ORDERS, Kind.SKUS):
        answer = market.post("/v1/imports", params={"kind": kind}, content=b"x", headers=headers)
        assert answer.status_code == 403


def test_a_file_of_documents_has_so_many_rows_at_most(market: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform_api.flows.import_routes.DOCUMENT_ROWS_MAX", 2)
    rows = "".join(f"r{number},1,opening,wh,,tea,1,,,,,\n" for number in range(3))
    told = upload(market, Kind.MOVES, MOVES + rows)
    assert [fault["message"] for fault in told["faults"]] == ["more than 2 rows: split the file"]


def test_the_same_file_at_once_is_posted_once(market: TestClient, world: World) -> None:
    content = written(
        Format.XLSX,
        "moves",
        ["tenant", "reference", "kind", "location", "sku", "units"],
        [["acme", f"r{number}", "opening", "east-1", "tea", 2] for number in range(20)],
    )

    def load(_: int) -> int:
        with psycopg.connect(world.dsn, autocommit=True) as owner:
            outcome = import_file(owner, Kind.MOVES, content)
            assert outcome.faults == ()
            return outcome.created

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(load, range(4))) == [0, 0, 0, 20]
    assert stock(market, "east-1")["tea"][0] == 40
    holds(world)


def test_another_tenant_finds_nothing_of_what_was_told(market: TestClient, world: World) -> None:
    commit(market, Kind.MOVES, MOVES + "a,1,opening,east-1,,tea,5,,,,,\n")
    market.headers.update(bearer(world, "hq@bravo"))
    assert counts(commit(market, Kind.MOVES, MOVES + "a,1,opening,east-1,,tea,7,,,,,\n")) == (1, 0, 0)
    assert stock(market, "east-1")["tea"][0] == 7


def test_lines_of_orders_that_were_exported_come_in_again_as_drafts(market: TestClient) -> None:
    commit(market, Kind.ORDERS, ORDERS + "east,po-9,1,east-1,tea,case,2,false\neast,po-9,2,east-1,tea,case,3,false\n")
    header, rows = cells(exported(market, Noun.ORDER_LINES, Format.CSV))
    kept = ("org", "reference", "line", "ship_to", "ship_from", "currency", "sku", "uom", "packs")
    mine = [row for row in rows if row[header.index("reference")] == "po-9"]
    again = [[row[header.index(name)].replace("po-9", "po-9b") for name in kept] + ["false"] for row in mine]
    file = "\n".join(",".join(row) for row in [[*kept, "submit"], *again]) + "\n"
    assert counts(commit(market, Kind.ORDERS, file)) == (2, 0, 0)
    assert counts(commit(market, Kind.ORDERS, file)) == (0, 0, 2)
    drafts = [one for one in market.get("/v1/orders").json()["items"] if one["reference"] in {"po-9", "po-9b"}]
    assert [(one["state"], one["ship_to"]) for one in drafts] == [("draft", "east-1")] * 2
    assert drafts[0]["total"] == drafts[1]["total"]
