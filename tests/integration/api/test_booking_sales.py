"""Sales of tills in the books: once, where their word counts, and compared with what the shelf shows."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from fastapi.testclient import TestClient

from deploy.verify import verify
from platform_api import jobs
from platform_api.stock.ledger import Move, keep_lot, post
from platform_api.stock.rules import SETTLED_AFTER, MoveKind
from platform_api.stock.valuing import Leg
from tests.integration.api.conftest import bearer
from tests.integration.api.test_stock_ledger import balance, connect, holds, receive
from tests.integration.api.world import World, add_event


def tell(client: TestClient, units: int, *, receipt: str = "r-1", sku: str = "tea", at: datetime | None = None) -> None:
    sold_at = (at or datetime.now(UTC)).isoformat()
    line = {"site": "east-1", "sku": sku, "units": units, "sold_at": sold_at, "receipt": receipt, "line": 1}
    answer = client.post("/v1/pos-sales", json={"sales": [line]})
    assert answer.status_code == 200, answer.text


def book(world: World, at: datetime | None = None) -> int:
    with connect(world, autocommit=True) as tx:
        return jobs.book_stock(tx, at or datetime.now(UTC))


def moves(world: World) -> list[tuple[Any, ...]]:
    with psycopg.connect(world.dsn) as owner:
        return owner.execute(
            """SELECT kind, reference, source_event_id, reason FROM stock_move
               WHERE tenant_id = 'acme' AND source = 'pos' ORDER BY posted_at, source_event_id"""
        ).fetchall()


def let_tills_speak(client: TestClient, world: World) -> None:
    """As of long ago, so that neither the events of the seeded world nor its line of a till are booked."""
    put = client.put("/v1/depletion-sources/east-1/tea", json={"source": "pos"})
    assert put.status_code == 200, put.text
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE depletion_source SET since = '2020-01-01Z'")
        owner.execute("DELETE FROM pos_inbox")


def test_a_sale_of_a_till_leaves_the_shelf_once_however_often_it_is_told(ops: TestClient, world: World) -> None:
    let_tills_speak(ops, world)
    book(world)
    assert balance(world, "east-1.shelf")[0] == 16  # as the first event counted it; tills have told nothing yet
    sold_at = datetime.now(UTC)
    for _ in range(3):
        tell(ops, 3, at=sold_at)
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(lambda _: book(world), range(3))) == 1
    tell(ops, -1, receipt="r-2")
    book(world)
    assert balance(world, "east-1.shelf")[0] == 14
    assert [move[:3] for move in moves(world)] == [
        ("sale", "east-1.shelf", "east-1/r-1/1"),
        ("put_back", "east-1.shelf", "east-1/r-2/1"),
    ]
    holds(world)


def test_where_shelves_have_the_word_a_sale_of_a_till_books_nothing(ops: TestClient, world: World) -> None:
    tell(ops, 3)
    book(world)
    assert balance(world, "east-1.shelf")[0] == 13
    assert moves(world) == []
    with psycopg.connect(world.dsn) as owner:
        assert owner.execute("SELECT count(*) FROM pos_inbox").fetchone() == (0,)


def test_what_no_shelf_counts_leaves_the_store_and_what_is_not_there_by_the_books_is_said(
    ops: TestClient, world: World
) -> None:
    with connect(world) as tx:
        tx.execute("DELETE FROM slot WHERE tenant_id = 'acme' AND site_id = 'east-1'")
        receive(tx, "east-1", 5, 500)
    tell(ops, 3)
    tell(ops, 4, receipt="r-2")
    book(world)
    assert balance(world, "east-1")[0] == 0
    assert [move[3] for move in moves(world)] == ["", "", "3 units that east-1 has not got by its books"]
    holds(world)


def test_a_sale_of_before_the_first_count_is_in_it_and_one_of_before_tills_had_the_word_is_not_theirs(
    ops: TestClient, world: World
) -> None:
    let_tills_speak(ops, world)
    tell(ops, 3, at=datetime.now(UTC) - timedelta(hours=2))
    book(world)
    assert moves(world) == []
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE depletion_source SET since = now() - interval '1 minute'")
    tell(ops, 3, receipt="r-2", at=datetime.now(UTC) - timedelta(minutes=5))
    tell(ops, 2, receipt="r-3")
    book(world)
    assert [move[2] for move in moves(world)] == ["east-1/r-3/1"]
    holds(world)


def test_a_sale_waits_until_its_shelf_is_counted(ops: TestClient, world: World) -> None:
    let_tills_speak(ops, world)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("DELETE FROM stock_inbox")
    tell(ops, 2, at=datetime.now(UTC) + timedelta(minutes=1))
    book(world)
    with psycopg.connect(world.dsn) as owner:
        row = owner.execute("SELECT error FROM pos_inbox WHERE tenant_id = 'acme' AND site_id = 'east-1'").fetchone()
        assert row == ("the shelf has not been counted yet",)
        add_event(owner, "acme", "east-1", "first", -1, 11, at=datetime.now(UTC))
    book(world)
    book(world, datetime.now(UTC) + timedelta(minutes=10))
    assert balance(world, "east-1.shelf")[0] == 10
    holds(world)


def test_shelf_and_books_are_compared_as_of_the_last_sale_that_tills_told(ops: TestClient, world: World) -> None:
    let_tills_speak(ops, world)
    start = datetime.now(UTC)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE anomaly SET state = 'dismissed'")
        # The world's first three sales are told by the till too, so that shelf and books agree as of then.
        add_event(owner, "acme", "east-1", "later", -2, 11, at=start + timedelta(seconds=60))
    tell(ops, 3, at=start)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE stock_opening SET counted_at = '2020-01-01Z'")
    book(world)
    late = start + SETTLED_AFTER + timedelta(hours=1)
    with connect(world, autocommit=True) as tx:
        # The shelf has sold two more; the tills have not told yet, which is no difference.
        jobs.reconcile_stock(tx, late)
        assert cases(tx) == []
    tell(ops, 1, receipt="r-2", at=start + timedelta(seconds=90))
    book(world)
    with connect(world, autocommit=True) as tx:
        jobs.reconcile_stock(tx, late)
        assert cases(tx) == [(11, 12)]
    holds(world)


def cases(tx: Any) -> list[tuple[int, int]]:
    rows = tx.execute(
        "SELECT observed, booked FROM recon_case WHERE tenant_id = 'acme' AND location_id = 'east-1.shelf'"
    )
    return [(row["observed"], row["booked"]) for row in rows]


def test_only_operations_say_whose_word_counts_and_the_newest_word_is_listed(ops: TestClient, world: World) -> None:
    path = "/v1/depletion-sources/east-1/tea"
    assert ops.put(path, json={"source": "pos"}, headers=bearer(world, "dealer@acme")).status_code == 403
    assert ops.put("/v1/depletion-sources/none/tea", json={"source": "pos"}).status_code == 404
    assert ops.put(path, json={"source": "guess"}).status_code == 422
    for source in ("pos", "telemetry", "pos"):
        assert ops.put(path, json={"source": source}).json()["source"] == source
    (one,) = ops.get("/v1/depletion-sources", headers=bearer(world, "dealer@acme")).json()["items"]
    assert (one["site"], one["sku"], one["source"]) == ("east-1", "tea", "pos")


def test_sales_and_shelf_moves_take_the_lots_that_expire_first(ops: TestClient, world: World) -> None:
    let_tills_speak(ops, world)
    book(world)
    with connect(world) as tx:
        tx.execute("UPDATE stock_opening SET counted_at = '2020-01-01Z'")
        for code, units, day in (("late", 6, 20), ("soon", 4, 10)):
            lot = keep_lot(tx, "acme", "tea", code, date(2090, 1, day))
            legs = [Leg("east-1", "tea", units, lot), Leg(".supplier", "tea", -units)]
            move = Move(
                kind=MoveKind.RECEIPT, happened_at=datetime.now(UTC), legs=legs, source="t", source_event_id=code
            )
            post(tx, "acme", move, datetime.now(UTC))
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-refill", 5, 18)
    book(world)
    assert lots(world) == {("east-1", "late"): 5, ("east-1.shelf", "soon"): 4, ("east-1.shelf", "late"): 1}
    tell(ops, 3)
    book(world)
    assert lots(world) == {("east-1", "late"): 5, ("east-1.shelf", "soon"): 1, ("east-1.shelf", "late"): 1}
    holds(world)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE stock_balance SET on_hand = 4 WHERE location_id = 'east-1'")
    told = [one.what for one in verify(world.dsn).broken]
    assert "lots hold 5 units, on hand are 4" in told


def lots(world: World) -> dict[tuple[str, str], int]:
    with psycopg.connect(world.dsn) as owner:
        rows = owner.execute(
            """SELECT s.location_id, o.code, s.units FROM stock_lot s JOIN lot o USING (tenant_id, lot_id)
               WHERE s.units > 0"""
        ).fetchall()
    return {(place, code): units for place, code, units in rows}
