"""The ledger on a real database: what it refuses, what it projects, and what happens when many want the same."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.verify import verify
from platform_api import jobs
from platform_api.kit.db import Connection
from platform_api.stock.ledger import ClosedPeriodError, Move, NotEnoughError, post
from platform_api.stock.moving import Route, transfer_legs
from platform_api.stock.reserving import consume, release, reserve
from platform_api.stock.rules import SETTLED_AFTER, MoveKind
from platform_api.stock.valuing import Leg
from tests.integration.api.world import World, add_event

NOW = datetime.now(UTC).replace(microsecond=0)


@contextmanager
def connect(world: World, *, autocommit: bool = False) -> Iterator[Connection]:
    with psycopg.connect(world.dsn, row_factory=dict_row, autocommit=autocommit) as connection:
        yield connection


def receive(tx: Connection, place: str, units: int, cost: int = 0, at: datetime = NOW, source: str = "") -> None:
    legs = [Leg(place, "tea", units), Leg(".supplier", "tea", -units)]
    move = Move(
        kind=MoveKind.RECEIPT,
        happened_at=at,
        legs=legs,
        source="test",
        source_event_id=source or str(uuid4()),
        told_minor={"tea": cost},
    )
    post(tx, "acme", move, NOW)


def transfer(tx: Connection, source: str, target: str, units: int) -> None:
    legs = transfer_legs(tx, "acme", Route(source, target, NOW.date()), {"tea": units})
    move = Move(kind=MoveKind.TRANSFER, happened_at=NOW, legs=legs, source="test", source_event_id=str(uuid4()))
    post(tx, "acme", move, NOW)


def balance(world: World, place: str) -> tuple[int, int, int]:
    with connect(world) as tx:
        row = tx.execute(
            "SELECT on_hand, reserved, value_minor FROM stock_balance WHERE location_id = %s AND tenant_id = 'acme'",
            (place,),
        ).fetchone()
    return (row["on_hand"], row["reserved"], row["value_minor"]) if row else (0, 0, 0)


def holds(world: World) -> None:
    report = verify(world.dsn)
    assert report.invariants["I3"], report.broken


def test_a_move_that_is_told_again_is_posted_once(world: World) -> None:
    for _ in range(3):
        with connect(world) as tx:
            receive(tx, "east-1", 10, 500, source="delivery-1")
    assert balance(world, "east-1") == (10, 0, 500)
    holds(world)


def test_value_follows_the_units_at_the_moving_average(world: World) -> None:
    with connect(world) as tx:
        receive(tx, "east-1", 10, 1_000)
        receive(tx, "east-1", 20, 500)
        transfer(tx, "east-1", "west-1", 7)
    assert balance(world, "west-1") == (7, 0, 350)
    assert balance(world, "east-1") == (23, 0, 1_150)
    holds(world)


def test_a_place_never_gives_what_it_has_not_or_what_is_promised(world: World) -> None:
    with connect(world) as tx:
        receive(tx, "east-1", 10)
        assert reserve(tx, "acme", "east-1", {"tea": 4}, "order-1") == {"tea": 4}
    with pytest.raises(NotEnoughError, match="has 6 units"), connect(world) as tx:
        transfer(tx, "east-1", "west-1", 7)
    assert balance(world, "east-1") == (10, 4, 0)
    holds(world)


def test_the_database_itself_refuses_what_does_not_balance(world: World) -> None:
    with pytest.raises(psycopg.errors.IntegrityError, match="does not balance"):
        write_half_a_move(world)
    with connect(world) as tx:
        receive(tx, "east-1", 10)
    with pytest.raises(psycopg.errors.IntegrityError, match="only grows"), connect(world) as tx:
        tx.execute("UPDATE stock_entry SET units = 99")


def write_half_a_move(world: World) -> None:
    move = uuid4()
    with connect(world) as tx:
        tx.execute(
            """INSERT INTO stock_move (tenant_id, move_id, kind, happened_at, booked_at, source, source_event_id)
               VALUES ('acme', %s, 'adjust', now(), now(), 'test', 'x')""",
            (move,),
        )
        tx.execute(
            """INSERT INTO stock_entry (tenant_id, move_id, entry_no, location_id, sku, units, value_minor, happened_at)
               VALUES ('acme', %s, 1, 'east-1', 'tea', 1, 0, now())""",
            (move,),
        )


def test_forty_buyers_of_twenty_units_get_twenty(world: World) -> None:
    with connect(world) as tx:
        receive(tx, "east-1", 20)

    def buy(number: int) -> int:
        with connect(world) as tx:
            return reserve(tx, "acme", "east-1", {"tea": 1}, f"order-{number}")["tea"]

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(buy, range(40))) == 20
    assert balance(world, "east-1") == (20, 20, 0)
    holds(world)


def test_sixty_opposing_transfers_neither_deadlock_nor_lose_a_unit(world: World) -> None:
    with connect(world) as tx:
        receive(tx, "east-1", 100, 777)
        receive(tx, "west-1", 100, 333)

    def move(number: int) -> None:
        source, target = ("east-1", "west-1") if number % 2 else ("west-1", "east-1")
        with connect(world) as tx:
            transfer(tx, source, target, 1 + number % 3)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(move, range(60)))
    east, west = balance(world, "east-1"), balance(world, "west-1")
    assert (east[0] + west[0], east[2] + west[2]) == (200, 1_110)
    holds(world)


def test_a_reservation_is_used_up_in_parts_and_the_rest_given_back(world: World) -> None:
    with connect(world) as tx:
        receive(tx, "east-1", 10)
        reserve(tx, "acme", "east-1", {"tea": 8}, "order-1")
        consume(tx, "acme", "order-1", "east-1", {"tea": 5})
        transfer(tx, "east-1", ".transit", 5)
    assert balance(world, "east-1") == (5, 3, 0)
    with connect(world) as tx:
        release(tx, "acme", "order-1")
    assert balance(world, "east-1") == (5, 0, 0)
    holds(world)


def test_a_reservation_ends_by_itself(world: World) -> None:
    with connect(world) as tx:
        receive(tx, "east-1", 10)
        reserve(tx, "acme", "east-1", {"tea": 4}, "cart", NOW)
        reserve(tx, "acme", "east-1", {"tea": 2}, "order", NOW + timedelta(hours=1))
    with connect(world, autocommit=True) as tx:
        assert jobs.expire_reservations(tx, NOW) == 1
        assert jobs.expire_reservations(tx, NOW) == 0
    assert balance(world, "east-1") == (10, 2, 0)
    holds(world)


def test_a_closed_month_refuses_and_a_late_event_is_booked_today(world: World) -> None:
    then = NOW - timedelta(days=40)
    with connect(world) as tx:
        tx.execute("INSERT INTO stock_period VALUES ('acme', date_trunc('month', %s::timestamptz)::date)", (then,))
    with pytest.raises(ClosedPeriodError), connect(world) as tx:
        receive(tx, "east-1", 10, at=then)
    legs = [Leg("east-1.shelf", "tea", -1), Leg(".customer", "tea", 1)]
    late = Move(kind=MoveKind.SALE, happened_at=then, legs=legs, source="t", source_event_id="1", late=True)
    with connect(world) as tx:
        assert post(tx, "acme", late, NOW) is not None
        row = tx.execute("SELECT happened_at, booked_at FROM stock_move WHERE source = 't'").fetchone()
    assert row == {"happened_at": then, "booked_at": NOW}


def test_a_month_is_closed_by_the_same_clock_for_workers_anywhere(world: World) -> None:
    then = (NOW - timedelta(days=40)).replace(day=1, hour=0) - timedelta(
        hours=1
    )  # in Shanghai it is the next month already
    legs = [Leg("east-1.shelf", "tea", -1), Leg(".customer", "tea", 1)]
    late = Move(kind=MoveKind.SALE, happened_at=then, legs=legs, source="t", source_event_id="1", late=True)
    with connect(world) as tx:
        tx.execute(
            "INSERT INTO stock_period VALUES ('acme', date_trunc('month', %s::timestamptz, 'UTC')::date)", (then,)
        )
        tx.execute("SET timezone = 'Asia/Shanghai'")
        post(tx, "acme", late, NOW)
        assert tx.execute("SELECT booked_at FROM stock_move WHERE source = 't'").fetchone() == {"booked_at": NOW}


def test_events_of_shelves_are_booked_once_by_two_workers(world: World) -> None:
    with psycopg.connect(world.dsn) as owner:
        for number in range(60):
            add_event(owner, "acme", "east-1", f"more-{number:02}", -1 if number % 2 else 2, 20, at=datetime.now(UTC))

    def work(_: int) -> int:
        with connect(world, autocommit=True) as tx:
            return jobs.book_stock(tx, datetime.now(UTC))

    with ThreadPoolExecutor(2) as pool:
        taken = sum(pool.map(work, range(2)))
    assert taken + work(0) == 60 + 4 * 4  # and the three of each site that were there before, and a line of its till
    with connect(world) as tx:
        row = tx.execute(
            "SELECT count(*) AS moves FROM stock_move WHERE source = 'shelf' AND tenant_id = 'acme'"
        ).fetchone()
    assert row == {"moves": 66}
    holds(world)


def test_the_books_follow_a_gateway_that_lost_its_outbox_and_numbers_from_one_again(world: World) -> None:
    start = datetime.now(UTC)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("DELETE FROM stock_inbox")
        owner.execute("DELETE FROM shelf_event")
        add_event(owner, "acme", "east-1", "first", -1, 15, at=start)
        owner.execute("UPDATE shelf_event SET lane_seq = 5000")
    with connect(world, autocommit=True) as tx:
        assert jobs.book_stock(tx, start) > 0
    with psycopg.connect(world.dsn) as owner:
        # Told late, of before the count; and what the new outbox tells.
        add_event(owner, "acme", "east-1", "before", -1, 16, at=start - timedelta(minutes=1))
        add_event(owner, "acme", "east-1", "second", -4, 11, at=datetime.now(UTC))
    with connect(world, autocommit=True) as tx:
        jobs.book_stock(tx, datetime.now(UTC))
    assert balance(world, "east-1.shelf")[0] == 11
    holds(world)


def test_the_books_of_a_shelf_say_what_the_shelf_shows(world: World) -> None:
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "refill", 10, 23, at=datetime.now(UTC))
    with connect(world, autocommit=True) as tx:
        jobs.book_stock(tx, datetime.now(UTC))
        row = tx.execute("SELECT reason FROM stock_move WHERE kind = 'restock' AND tenant_id = 'acme'").fetchone()
    assert balance(world, "east-1.shelf")[0] == 23
    assert row is not None
    assert row["reason"] == "10 units that east-1 has not got by its books"
    holds(world)


def test_where_tills_are_the_authority_an_event_of_the_shelf_books_no_sale(world: World) -> None:
    with connect(world) as tx:
        tx.execute("INSERT INTO depletion_source VALUES ('acme', 'east-1', 'tea', 'pos')")
    with connect(world, autocommit=True) as tx:
        jobs.book_stock(tx, datetime.now(UTC))
        row = tx.execute(
            """SELECT count(*) FILTER (WHERE kind = 'sale' AND source = 'shelf') AS sales,
                      count(*) FILTER (WHERE kind = 'opening') AS openings
               FROM stock_move WHERE tenant_id = 'acme' AND reference <> 'west-1.shelf'"""
        ).fetchone()
    assert row == {"sales": 0, "openings": 2}


def test_a_difference_that_lasts_is_corrected_when_small_and_counted_when_large(world: World) -> None:
    later = datetime.now(UTC) + SETTLED_AFTER * 2
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE anomaly SET state = 'dismissed'")
        # A unit goes without an event of its own: the next count is one less than the last one and the sale.
        add_event(owner, "acme", "east-1", "z-next", -1, 11, at=datetime.now(UTC))
        add_event(owner, "acme", "west-1", "z-next", -1, 2, at=datetime.now(UTC))
    with connect(world, autocommit=True) as tx:
        jobs.book_stock(tx, datetime.now(UTC))
        rounds = [jobs.reconcile_stock(tx, later + timedelta(minutes=5 * number)) for number in range(4)]
        states = tx.execute(
            """SELECT location_id, state, count_id IS NOT NULL AS asked FROM recon_case
               WHERE tenant_id = 'acme' ORDER BY 1"""
        ).fetchall()
    assert [(one.posted, one.counts) for one in rounds] == [(0, 0), (0, 0), (1, 1), (0, 0)]
    assert [(row["state"], row["asked"]) for row in states] == [("posted", False), ("count_asked", True)]
    assert balance(world, "east-1.shelf")[0] == 11
    assert balance(world, "west-1.shelf")[0] == 12
    holds(world)


def lose_a_unit_unseen(world: World, at: datetime) -> None:
    """Let acme's shelf in the east show one less than is booked, and nothing else be compared."""
    with psycopg.connect(world.dsn) as owner:
        owner.execute(
            "UPDATE gateway_presence SET state = 'offline' WHERE tenant_id <> 'acme' OR gateway_id <> 'gw-east-1'"
        )
        owner.execute("UPDATE anomaly SET state = 'dismissed'")
        add_event(owner, "acme", "east-1", "z-next", -1, 11, at=at)
    with connect(world, autocommit=True) as tx:
        jobs.book_stock(tx, datetime.now(UTC))
    assert balance(world, "east-1.shelf")[0] == 12


def reconcile(world: World, now: datetime, rounds: int) -> list[tuple[int, int, int]]:
    with connect(world, autocommit=True) as tx:
        found = [jobs.reconcile_stock(tx, now + timedelta(minutes=5 * number)) for number in range(rounds)]
    return [(one.shelves, one.posted, one.counts) for one in found]


def test_what_people_corrected_is_not_corrected_again_by_an_older_look(world: World) -> None:
    start = datetime.now(UTC)
    lose_a_unit_unseen(world, start)
    later = start + SETTLED_AFTER * 2
    assert reconcile(world, later, 2) == [(1, 0, 0)] * 2
    noticed = later + timedelta(minutes=7)
    with connect(world) as tx:
        legs = [Leg("east-1.shelf", "tea", -1), Leg(".loss", "tea", 1)]
        move = Move(kind=MoveKind.LOSS, happened_at=noticed, legs=legs, source="people", source_event_id="1")
        post(tx, "acme", move, noticed)
    assert reconcile(world, later + timedelta(minutes=10), 4) == [(0, 0, 0), (0, 0, 0), (1, 0, 0), (1, 0, 0)]
    assert balance(world, "east-1.shelf")[0] == 11
    holds(world)


def test_a_count_that_waits_to_be_booked_is_left_the_word(world: World) -> None:
    start = datetime.now(UTC)
    lose_a_unit_unseen(world, start)
    with connect(world) as tx:
        key = {"count": uuid4(), "at": start + timedelta(minutes=1)}
        tx.execute(
            """INSERT INTO stock_count (tenant_id, count_id, location_id, state, counted_at)
               VALUES ('acme', %(count)s, 'east-1.shelf', 'submitted', %(at)s)""",
            key,
        )
        tx.execute("INSERT INTO stock_count_line VALUES ('acme', %(count)s, 'tea', 11)", key)
    assert reconcile(world, start + SETTLED_AFTER * 2, 4) == [(0, 0, 0)] * 4
    assert balance(world, "east-1.shelf")[0] == 12


def test_a_difference_lasts_only_while_time_passes_and_two_workers_judge_it_once(world: World) -> None:
    start = datetime.now(UTC)
    lose_a_unit_unseen(world, start)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE pos_sale SET sold_at = %s", (start + timedelta(seconds=30),))
        owner.execute("INSERT INTO depletion_source VALUES ('acme', 'east-1', 'tea', 'pos')")
    later = start + SETTLED_AFTER * 2
    assert reconcile(world, later, 6) == [(1, 0, 0)] * 6  # nothing was sold since: it is one look, however often
    with psycopg.connect(world.dsn) as owner:
        owner.execute("DELETE FROM depletion_source")
    assert reconcile(world, later + timedelta(hours=1), 1) == [(1, 0, 0)]
    with ThreadPoolExecutor(4) as pool:
        rounds = list(pool.map(lambda _: reconcile(world, later + timedelta(hours=2), 1), range(4)))
    assert sum(posted for ((_, posted, _),) in rounds) == 1
    with connect(world) as tx:
        states = tx.execute("SELECT state FROM recon_case").fetchall()
    assert states == [{"state": "posted"}]
    assert balance(world, "east-1.shelf")[0] == 11
    holds(world)


def test_a_device_is_in_doubt_by_whatever_name_and_only_while_it_lasts(world: World) -> None:
    start = datetime.now(UTC)
    lose_a_unit_unseen(world, start)
    told = [
        ("gateway", "gw-east-1", "s01-b1", None, 0),
        ("device", "gw-east-1/s01", "s01-b1", None, 0),
        ("device", "gw-east-1/scale-7", "scale-7", None, 0),
        ("series", "gw-east-1/scale-7.weight_g", "scale-7", None, 0),
        ("device", "gw-east-1/scale-7", "scale-7", start, 1),
        ("device", "gw-east-1/scale-70", "scale-7", None, 1),
    ]
    for kind, place, device, end, compared in told:
        with psycopg.connect(world.dsn) as owner:
            owner.execute("UPDATE slot SET channel = %s", (f"{device}.weight_g",))
            owner.execute(
                """UPDATE anomaly SET state = 'open', kind = 'dropout', place_kind = %s, place = %s, end_at = %s
                   WHERE tenant_id = 'acme' AND site_id = 'east-1'""",
                (kind, place, end),
            )
            owner.execute("DELETE FROM recon_case")
        assert reconcile(world, start + SETTLED_AFTER * 2, 1) == [(compared, 0, 0)], place


def test_a_device_in_doubt_never_posts(world: World) -> None:
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-next", -1, 11, at=datetime.now(UTC))
        owner.execute("UPDATE gateway_presence SET state = 'offline' WHERE gateway_id = 'gw-west-1'")
        owner.execute("UPDATE anomaly SET state = 'dismissed' WHERE site_id <> 'east-1' OR tenant_id <> 'acme'")
        owner.execute("UPDATE anomaly SET kind = 'drift' WHERE site_id = 'east-1'")
    with connect(world, autocommit=True) as tx:
        jobs.book_stock(tx, datetime.now(UTC))
        compared = jobs.reconcile_stock(tx, datetime.now(UTC) + SETTLED_AFTER * 2)
        row = tx.execute("SELECT count(*) AS cases FROM recon_case WHERE tenant_id = 'acme'").fetchone()
    assert (compared.shelves, row) == (1, {"cases": 0})  # bravo's east-1 alone
