"""What is not accepted at the door, over HTTP on a real database: it goes back, and nobody owes it."""

from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from fastapi.testclient import TestClient

from deploy.verify import verify
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import CART, account, act, credit, holds, key, market, order, ship
from tests.integration.api.test_returns import ask, decide, receive, stock
from tests.integration.api.world import World

__all__ = ["market"]


def sign(client: TestClient, path: str, headers: dict[str, str], **said: Any) -> Any:
    body = {"signer": "Sun Li", "at": datetime.now(UTC).isoformat(), **said}
    return client.post(f"{path}:deliver", json=body, headers={**headers, **key()})


def sent(client: TestClient, dealer: dict[str, str], packs: int = 2) -> Any:
    """An order of so many cases of ten, all of it on its way."""
    return ship(client, act(client, order(client, dealer, packs), "submit", dealer).json())


def entries(client: TestClient) -> list[tuple[str, str]]:
    found = client.get("/v1/receivables").json()["items"]
    return [(one["kind"], one["amount"]["amount"]) for one in found]


def minor_of(money: dict[str, str]) -> int:
    return int(money["amount"].replace(".", ""))


def put_lots(client: TestClient, *lots: tuple[str, int, str]) -> None:
    for code, units, expires in lots:
        line = {"sku": "fresh", "units": units, "lot": code, "expires": expires}
        got = client.post("/v1/receipts", json={"to": "wh", "lines": [line]}, headers=key())
        assert got.status_code == 201, got.text


def test_eight_of_ten_are_owed_and_two_go_back_into_the_stock_of_their_warehouse(
    market: TestClient, world: World
) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    gone = sent(market, dealer, packs=1)
    assert (stock(market)["wh"], stock(market)[".transit"]) == (40, 10)
    path = gone.headers["Location"]
    assert sign(market, path, dealer, accepted={"1": 11}).status_code == 409
    body = {"signer": "Sun Li", "at": datetime.now(UTC).isoformat(), "accepted": {"1": 8}, "note": "two are dented"}
    once = key()
    first, again = (market.post(f"{path}:deliver", json=body, headers={**dealer, **once}) for _ in range(2))
    assert (first.status_code, again.headers["Idempotency-Replayed"]) == (201, "true"), first.text
    assert first.json() == again.json()
    assert sign(market, path, dealer, accepted={"1": 8}).status_code == 409
    (line,) = first.json()["lines"]
    assert [line[name] for name in ("shipped", "delivered", "refused", "missing", "returned")] == [10, 8, 2, 0, 0]
    assert (line["invoiced"]["amount"], line["credited"]["amount"]) == ("67.80", "13.56")
    assert account(market) == {"receivable": "54.24", "committed": "0.00", "free": "445.76"}
    assert entries(market) == [("credit_note", "-13.56"), ("invoice", "67.80")]
    (shown,) = market.get(path, headers=dealer).json()["lines"]
    assert [shown[name] for name in ("units", "accepted", "refused", "missing")] == [10, 8, 2, 0]
    holds(world)
    (back,) = market.get("/v1/returns", headers=dealer).json()["items"][:1]
    assert (back["state"], back["shipment"], back["reason"]) == ("approved", path.rsplit("/", 1)[1], "two are dented")
    assert decide(market, back, "reject").status_code == 409
    # What is on its way back keeps nothing of what was accepted from coming back too.
    assert ask(market, first.json(), 8, dealer).status_code == 201
    got = receive(market, back)
    assert (got.status_code, got.json()["credited"]["amount"]) == (201, "0.00"), got.text
    assert (stock(market)["wh"], stock(market)["east-1"], stock(market)[".transit"]) == (42, 8, 0)
    assert len(entries(market)) == 2
    holds(world)


def test_what_never_came_is_a_loss_and_what_of_the_refused_does_not_arrive_is_another(
    market: TestClient, world: World
) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    path = sent(market, dealer).headers["Location"]
    done = sign(market, path, dealer, accepted={"1": 11}, missing={"1": 4})
    (line,) = done.json()["lines"]
    assert [line[name] for name in ("delivered", "refused", "missing")] == [11, 5, 4]
    assert (stock(market)[".transit"], line["credited"]["amount"]) == (5, "61.02")
    (back,) = market.get("/v1/returns", headers=dealer).json()["items"][:1]
    assert receive(market, back, restock=6).status_code == 409
    got = receive(market, back, restock=2, write_off=1)
    assert (got.json()["lines"][0]["restocked"], got.json()["lines"][0]["written_off"]) == (2, 1)
    (newest, *_) = market.get("/v1/stock-moves", params={"location": "wh"}).json()["items"]
    assert newest["reason"] == "2 of the units that were refused did not come back"
    assert (stock(market)["wh"], stock(market)["east-1"], stock(market)[".transit"]) == (32, 11, 0)
    holds(world)


def test_a_delivery_that_nobody_wanted_is_credited_as_it_was_invoiced_and_may_all_be_lost(
    market: TestClient, world: World
) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    done = sign(market, sent(market, dealer).headers["Location"], dealer, accepted={"1": 0})
    assert (done.json()["state"], account(market)["receivable"]) == ("delivered", "0.00")
    assert entries(market) == [("credit_note", "-135.60"), ("invoice", "135.60")]
    (back,) = market.get("/v1/returns", headers=dealer).json()["items"][:1]
    assert receive(market, back, restock=0).status_code == 201
    assert (stock(market)["wh"], stock(market)[".transit"]) == (30, 0)
    holds(world)


def test_discounted_lines_that_leave_in_parts_and_are_refused_in_part_are_owed_to_the_last_unit_of_money(
    market: TestClient, world: World
) -> None:
    credit(market, "5000.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    lines = [{"sku": "tea", "uom": "case", "packs": packs} for packs in (1, 2)]
    it = market.post("/v1/orders", json={**CART, "lines": lines}, headers={**dealer, **key()}).json()
    agreed = {
        "order": {"basis_points": 333, "reason": "spring fair"},
        "lines": {"2": {"amount": {"amount": "0.07", "currency": "CNY"}, "reason": "rounded"}},
    }
    it = market.put(f"/v1/orders/{it['id']}/discounts", json=agreed, headers={"If-Match": '"1"'}).json()
    total = it["total"]
    it = act(market, it, "submit", dealer).json()
    for number, (units, said) in enumerate(
        (
            ({"1": 3, "2": 7}, {"accepted": {"1": 2, "2": 7}}),
            ({"1": 7, "2": 1}, {"accepted": {"1": 0, "2": 1}, "missing": {"1": 7}}),
            ({"2": 12}, {"missing": {"2": 5}}),
        ),
        start=1,
    ):
        part = ship(market, it, tracking_no=f"T{number}", units=units)
        assert part.status_code == 201, part.text
        done = sign(market, part.headers["Location"], dealer, **said)
        it = done.json()
        holds(world)
    assert it["state"] == "delivered"
    minor = {name: [minor_of(one[name]) for one in it["lines"]] for name in ("invoiced", "credited")}
    assert sum(minor["invoiced"]) == minor_of(total)
    gross = [one["net"]["amount"] for one in it["lines"]]
    assert gross == ["60.00", "120.00"]
    # 65.54 for 3, 7 of 10: 19.66, 45.88; credited a third of the first, all of the second. 131.01 of 20: 78.61 of 12.
    assert minor["invoiced"] == [6554, 13101]
    assert minor["credited"] == [655 + 4588, 3275]
    owed = sum(minor["invoiced"]) - sum(minor["credited"])
    assert account(market)["receivable"] == f"{owed // 100}.{owed % 100:02}"
    for one in market.get("/v1/returns", headers=dealer, params={"order": it["id"]}).json()["items"]:
        assert receive(market, one).status_code == 201
    for line_no, kept in (("1", 2), ("2", 15)):
        body = {"reason": "closing down", "units": {line_no: kept}}
        asked = market.post(f"/v1/orders/{it['id']}/returns", json=body, headers={**dealer, **key()}).json()
        approved = decide(market, asked, "approve").json()
        match = {"If-Match": f'"{approved["version"]}"', **key()}
        assert market.post(f"/v1/returns/{asked['id']}:receive", json={}, headers=match).status_code == 201
    assert account(market)["receivable"] == "0.00"
    holds(world)


def test_refused_units_come_back_in_the_lots_that_were_not_accepted(market: TestClient, world: World) -> None:
    credit(market, "5000.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    fresh = {"name_en": "Fresh", "unit_weight_g": 100, "by_lot": True, "packs": []}
    assert market.post("/v1/skus", json={"sku": "fresh", **fresh}, headers=key()).status_code == 201
    price = {"sku": "fresh", "uom": "unit", "price": {"amount": "1.00", "currency": "CNY"}}
    new = {"id": "fresh", "name": "Fresh", "level": "org", "target": "east", "items": [price]}
    assert market.post("/v1/price-lists", json=new, headers=key()).status_code == 201
    assert market.post("/v1/price-lists/fresh:publish", headers={"If-Match": '"1"'}).status_code == 200
    put_lots(market, ("late", 6, "2090-02-01"), ("soon", 4, "2090-01-01"))
    body = {**CART, "lines": [{"sku": "fresh", "uom": "unit", "packs": 9}]}
    it = market.post("/v1/orders", json=body, headers={**dealer, **key()}).json()
    gone = ship(market, act(market, it, "submit", dealer).json())
    done = sign(market, gone.headers["Location"], dealer, accepted={"1": 6})
    assert done.status_code == 201, done.text
    (back,) = market.get("/v1/returns", headers=dealer).json()["items"][:1]
    assert receive(market, back, restock=3).status_code == 201
    with psycopg.connect(world.dsn) as owner:
        lots = owner.execute(
            """SELECT s.location_id, o.code, s.units FROM stock_lot s JOIN lot o USING (tenant_id, lot_id)
               WHERE s.units > 0 ORDER BY 1, 2"""
        ).fetchall()
    assert sum(units for place, _, units in lots if place == "wh") == 4
    assert sum(units for place, _, units in lots if place == "east-1") == 6
    assert not [one for one in lots if one[0] == ".transit"]
    holds(world)


DAMAGES: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("UPDATE shipment_line SET credited_minor = credited_minor {} 1 WHERE credited_minor > 0", "-"),
    ("UPDATE order_line SET refused_units = refused_units {} 1 WHERE refused_units > 0", "-"),
    ("UPDATE order_line SET credited_minor = credited_minor {} 1 WHERE credited_minor > 0", "-"),
    ("UPDATE shipment_line SET invoiced_minor = invoiced_minor {} 1 WHERE accepted IS NOT NULL", "+"),
    ("UPDATE shipment_line SET missing = missing {} 1 WHERE accepted < units", "+"),
)


def test_verify_finds_units_and_money_of_refusals_that_do_not_agree(market: TestClient, world: World) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    sign(market, sent(market, dealer).headers["Location"], dealer, accepted={"1": 13})
    holds(world)
    for damage, sign_ in DAMAGES:
        with psycopg.connect(world.dsn, autocommit=True) as owner:
            assert owner.execute(damage.format(sign_)).rowcount == 1
            report = verify(world.dsn)
            owner.execute(damage.format("+" if sign_ == "-" else "-"))
        assert not report.invariants["I5"], damage
    holds(world)
