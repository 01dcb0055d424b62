"""Books that were kept before refusals were credited and sales took lots: what their migrations make of them."""

from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
from fastapi.testclient import TestClient
from psycopg.rows import dict_row

from deploy import migrations
from deploy.verify import verify
from platform_api.stock.ledger import Move, keep_lot, post
from platform_api.stock.rules import CUSTOMER, SUPPLIER, MoveKind
from platform_api.stock.valuing import Leg
from stream.storage import execute_script
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import account, act, credit, holds, market, order, ship
from tests.integration.api.test_refusals import entries, sign
from tests.integration.api.world import World

__all__ = ["market"]

SQL = Path(migrations.__file__).parent / "sql"
# The schema and the books as they were: what was not accepted was lost, and owed all the same.
BEFORE = """
ALTER TABLE ar_entry DISABLE TRIGGER append_only;
DELETE FROM ar_entry WHERE kind = 'credit_note';
ALTER TABLE ar_entry ENABLE TRIGGER append_only;
UPDATE credit_account SET receivable_minor = 13560 WHERE org_id = 'east' AND tenant_id = 'acme';
UPDATE order_line SET credited_minor = 0;
DELETE FROM order_return_line l USING order_return r WHERE r.return_id = l.return_id AND r.shipment_id IS NOT NULL;
DELETE FROM order_return WHERE shipment_id IS NOT NULL;
ALTER TABLE order_line DROP COLUMN refused_units, DROP COLUMN missing_units;
ALTER TABLE shipment_line DROP COLUMN missing, DROP COLUMN invoiced_minor, DROP COLUMN credited_minor;
ALTER TABLE order_return DROP COLUMN shipment_id;
"""


def migrate(world: World, name: str) -> None:
    with psycopg.connect(world.dsn) as owner:
        execute_script(owner, [(SQL / name).read_text(encoding="utf-8")])


def test_what_was_not_accepted_is_credited_at_last_and_counts_as_missing(market: TestClient, world: World) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    it = act(market, order(market, dealer), "submit", dealer).json()
    part = ship(market, it, tracking_no="T1", units={"1": 7})
    sign(market, part.headers["Location"], dealer, accepted={"1": 5})
    rest = ship(market, market.get(f"/v1/orders/{it['id']}").json(), tracking_no="T2")
    done = sign(market, rest.headers["Location"], dealer, accepted={"1": 12})
    notes = [entry for entry in entries(market) if entry[0] == "credit_note"]
    owed, credited = account(market)["receivable"], done.json()["lines"][0]["credited"]
    with psycopg.connect(world.dsn) as owner:
        execute_script(owner, [BEFORE])
    migrate(world, "0030_refusals.sql")
    assert account(market)["receivable"] == owed
    assert sorted(entry for entry in entries(market) if entry[0] == "credit_note") == sorted(notes)
    (line,) = market.get(f"/v1/orders/{it['id']}").json()["lines"]
    assert (line["credited"], line["delivered"], line["missing"], line["refused"]) == (credited, 17, 3, 0)
    (sent,) = market.get(part.headers["Location"]).json()["lines"]
    assert (sent["invoiced"]["amount"], sent["credited"]["amount"]) == ("47.46", "13.56")
    report = verify(world.dsn)
    assert report.invariants["I5"], report.broken


def test_lots_of_what_was_sold_without_them_are_taken_off_the_earliest_first(market: TestClient, world: World) -> None:
    now = datetime.now(UTC)
    with psycopg.connect(world.dsn, row_factory=dict_row) as tx:
        for code, units, day in (("late", 6, 20), ("soon", 4, 10)):
            lot = keep_lot(tx, "acme", "tea", code, date(2090, 1, day))
            legs = [Leg("east-1", "tea", units, lot), Leg(SUPPLIER, "tea", -units)]
            came = Move(kind=MoveKind.RECEIPT, happened_at=now, legs=legs, source="test", source_event_id=code)
            post(tx, "acme", came, now)
        legs = [Leg("east-1", "tea", -7), Leg(CUSTOMER, "tea", 7)]
        post(tx, "acme", Move(kind=MoveKind.SALE, happened_at=now, legs=legs, source="test", source_event_id="s"), now)
    assert not verify(world.dsn).invariants["I3"]
    migrate(world, "0031_lots.sql")
    left = market.get("/v1/lots", params={"location": "east-1", "sku": "tea"}).json()
    assert left == [{"lot": "late", "expires": "2090-01-20", "units": 3}]
    holds(world)
