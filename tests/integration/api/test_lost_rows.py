"""A row that is deleted between a worker's look and its lock, as by the reset of a sandbox, costs no other its turn."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from fastapi.testclient import TestClient
from psycopg import sql
from psycopg.rows import dict_row

from deploy.local.deadline import wait_until
from platform_api.flows import confirming, ordering, replenishing
from platform_api.kit.db import Connection
from platform_api.stock import transferring
from tests.integration.api import test_ordering as orders
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import credit, market, restock, ship
from tests.integration.api.test_transfers import ask
from tests.integration.api.world import World

__all__ = ["market"]

WAIT_S: Final = 60.0
WAITS: Final = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

Job = Callable[[Connection], object]


def lose(dsn: str, table: str, column: str, lost: str, job: Job) -> None:
    """Delete a row while a worker that has seen it waits for it. What refers to the row stays: it is not looked at."""

    def work() -> None:
        with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as worker:
            job(worker)

    with psycopg.connect(dsn) as resetting, psycopg.connect(dsn, autocommit=True) as onlooker:
        resetting.execute("SET LOCAL session_replication_role = replica")
        query = sql.SQL("DELETE FROM {} WHERE {} = {}")
        resetting.execute(query.format(sql.Identifier(table), sql.Identifier(column), sql.Literal(lost)))
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                assert wait_until(lambda: working.done() or onlooker.execute(WAITS).fetchone() is not None, WAIT_S)
                assert not working.done(), "it never came to the row"
            finally:
                resetting.commit()
            working.result(WAIT_S)


def a_transfer(client: TestClient, it: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"/v1/transfer-requests/{it['id']}").json())


def an_order(client: TestClient, world: World) -> dict[str, Any]:
    """A case of tea, approved."""
    dealer = bearer(world, "dealer@acme")
    return dict(orders.act(client, orders.order(client, dealer, packs=1), "submit", dealer).json())


def test_a_lost_transfer_does_not_end_the_others(market: TestClient, world: World) -> None:
    ask(market, 50)
    lost, kept = ask(market, 5).json(), ask(market, 5).json()
    restock(market, 100)
    lose(world.dsn, "transfer_request", "transfer_id", lost["id"], transferring.hold_back_orders)
    assert a_transfer(market, kept)["lines"][0]["held"] == 5
    forsaken = {"east-1": ask(market, 3).json(), "west-1": ask(market, 3).json()}
    with psycopg.connect(world.dsn) as owner:
        for site, it in forsaken.items():
            owner.execute(
                """UPDATE transfer_request SET proposal_id = (
                       SELECT proposal_id FROM proposal WHERE tenant_id = 'acme' AND site_id = %s)
                   WHERE transfer_id = %s""",
                (site, it["id"]),
            )
        owner.execute("UPDATE proposal SET state = 'expired' WHERE tenant_id = 'acme'")
    now = datetime.now(UTC)
    lost, kept = forsaken["east-1"], forsaken["west-1"]
    lose(world.dsn, "transfer_request", "transfer_id", lost["id"], lambda tx: replenishing.take_in_transfers(tx, now))
    assert a_transfer(market, kept)["reason"] == "its proposal is expired"


def test_a_lost_order_does_not_end_the_others(market: TestClient, world: World) -> None:
    credit(market, "10000.00", auto=True)
    ask(market, 50)
    now = datetime.now(UTC)
    lost, kept = an_order(market, world), an_order(market, world)
    restock(market, 100)
    lose(world.dsn, "sales_order", "order_id", lost["id"], lambda tx: ordering.allocate_back_orders(tx, now))
    assert market.get(f"/v1/orders/{kept['id']}").json()["state"] == "allocated"
    lost, kept = an_order(market, world), an_order(market, world)
    for it in (lost, kept):
        assert ship(market, it).status_code == 201
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE shipment SET state = 'delivered'")
        owner.execute("UPDATE sales_order SET state = 'delivered' WHERE state = 'shipped'")
    later = now + timedelta(days=9)
    lose(world.dsn, "sales_order", "order_id", lost["id"], lambda tx: confirming.confirm_deliveries(tx, later))
    (judged,) = market.get("/v1/shipments", params={"order": kept["id"]}).json()["items"]
    assert judged["shelf_verdict"] != "waiting"
