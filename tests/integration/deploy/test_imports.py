"""Imports into a real database: all or nothing, and the same again without effect."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from deploy.local.deadline import wait_until
from platform_api.imports.service import Outcome, import_csv
from platform_api.kit.nouns import Kind
from platform_api.tenancy.admin_queries import LOCK_TREE, UPDATE_ORG

ORGS = "tenant,org,parent,kind,name\ndemo,brand,,brand,Brand\ndemo,north,brand,dealer,North\n"
SITES = "tenant,site,org,name\ndemo,s1,north,First\ndemo,s2,,Second\n"
DEVICES = "tenant,site,gateway,device,profile,name\ndemo,s1,g1,,,Back room\ndemo,s1,g1,a,loadcell_shelf,\n"
SKUS = "tenant,sku,name_en,unit_weight_g\ndemo,cola,Cola,345\ndemo,tea,Tea,520\n"
SLOTS = """tenant,site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,target
demo,s1,g1,a-b1,a-b1.weight_g,cola,345,3,24,8,20
demo,s1,g1,a-b2,a-b2.weight_g,cola,345,3,24,4,24
demo,s1,g1,a-b3,a-b3.weight_g,tea,520,3,24,4,24
"""
SALES = """tenant,site,sku,units,sold_at,receipt,line
demo,s1,cola,2,2026-01-05T08:12:31Z,r1,1
demo,s1,cola,-1,2026-01-05T09:00:00+08:00,r2,1
"""
FILES = {
    Kind.ORGS: ORGS,
    Kind.SITES: SITES,
    Kind.DEVICES: DEVICES,
    Kind.SKUS: SKUS,
    Kind.SLOTS: SLOTS,
    Kind.POS_SALES: SALES,
}


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name) VALUES ('demo', 'Demo')")
        yield connection


def load(connection: psycopg.Connection[Any], kind: Kind, text: str, *, dry_run: bool = False) -> Outcome:
    return import_csv(connection, kind, text.encode(), dry_run=dry_run)


def load_all(connection: psycopg.Connection[Any]) -> dict[Kind, Outcome]:
    return {kind: load(connection, kind, text) for kind, text in FILES.items()}


def rows(connection: psycopg.Connection[Any], query: bytes) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def test_all_kinds_are_written_in_order(connection: psycopg.Connection[Any]) -> None:
    outcomes = load_all(connection)
    assert [outcome.faults for outcome in outcomes.values()] == [()] * len(FILES)
    assert {kind: outcome.created for kind, outcome in outcomes.items()} == {
        Kind.ORGS: 2, Kind.SITES: 2, Kind.DEVICES: 2, Kind.SKUS: 2, Kind.SLOTS: 3, Kind.POS_SALES: 2,
    }  # fmt: skip
    assert rows(connection, b"SELECT gateway_id, name FROM gateway") == [("g1", "Back room")]


def test_the_same_files_again_change_nothing(connection: psycopg.Connection[Any]) -> None:
    load_all(connection)
    again = load_all(connection)
    assert [(outcome.created, outcome.updated) for outcome in again.values()] == [(0, 0)] * len(FILES)
    assert [outcome.unchanged for outcome in again.values()] == [outcome.rows for outcome in again.values()]


def test_a_changed_row_is_updated_and_the_others_are_left_alone(connection: psycopg.Connection[Any]) -> None:
    load_all(connection)
    outcome = load(connection, Kind.SKUS, SKUS.replace("345", "350"))
    assert (outcome.created, outcome.updated, outcome.unchanged) == (0, 1, 1)
    assert rows(connection, b"SELECT unit_weight_g FROM sku ORDER BY sku") == [(350.0,), (520.0,)]


def test_slots_of_one_sku_are_summed_into_the_first_policy_of_their_site(connection: psycopg.Connection[Any]) -> None:
    load_all(connection)
    assert rows(connection, b"SELECT sku, reorder_point, target FROM stock_policy ORDER BY sku") == [
        ("cola", 12, 44),
        ("tea", 4, 24),
    ]


def test_a_policy_that_people_changed_outlives_an_import(connection: psycopg.Connection[Any]) -> None:
    load_all(connection)
    connection.execute("UPDATE stock_policy SET reorder_point = 1 WHERE sku = 'tea'")
    load(connection, Kind.SLOTS, SLOTS)
    assert rows(connection, b"SELECT reorder_point FROM stock_policy WHERE sku = 'tea'") == [(1,)]


def test_one_mistake_keeps_the_whole_file_out(connection: psycopg.Connection[Any]) -> None:
    outcome = load(connection, Kind.SKUS, SKUS + "demo,chips,Chips,heavy\n")
    assert [fault.line for fault in outcome.faults] == [4]
    assert rows(connection, b"SELECT count(*) FROM sku") == [(0,)]


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        (Kind.ORGS, "demo,south,nowhere,dealer,South", "org 'nowhere' is neither registered nor in a line above"),
        (Kind.SITES, "demo,s3,nobody,Third", "there is no org 'nobody'"),
        (Kind.SITES, "other,s3,,Third", "there is no tenant 'other'"),
        (Kind.DEVICES, "demo,s9,g9,,,", "there is no site 's9'"),
        (Kind.DEVICES, "demo,s2,g1,b,,", "'g1' stands in site 's1'"),
        (Kind.SLOTS, "demo,s1,g9,x,x.weight_g,cola,345,3,24,8,20", "there is no gateway 'g9'"),
        (Kind.SLOTS, "demo,s2,g1,x,x.weight_g,cola,345,3,24,8,20", "gateway 'g1' stands in site 's1'"),
        (Kind.SLOTS, "demo,s1,g1,x,x.weight_g,rum,345,3,24,8,20", "there is no SKU 'rum'"),
        (Kind.SLOTS, "demo,s1,g1,x,a-b1.weight_g,cola,345,3,24,8,20", "a-b1.weight_g weighs slot 'a-b1' already"),
    ],
)
def test_what_a_row_names_must_be_known(connection: psycopg.Connection[Any], kind: Kind, row: str, told: str) -> None:
    load_all(connection)
    outcome = load(connection, kind, f"{FILES[kind].splitlines()[0]}\n{row}\n")
    assert [fault.text for fault in outcome.faults] == [told]


def test_a_dry_run_checks_everything_and_writes_nothing(connection: psycopg.Connection[Any]) -> None:
    outcome = load(connection, Kind.SKUS, SKUS, dry_run=True)
    assert (outcome.created, outcome.faults) == (2, ())
    assert rows(connection, b"SELECT count(*) FROM sku") == [(0,)]


def test_the_stream_is_told_of_new_slots(connection: psycopg.Connection[Any], database: str) -> None:
    load_all(connection)
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN shelfpulse_control")
        load(connection, Kind.SLOTS, SLOTS.replace(",24,8,20", ",30,8,20"))
        assert "slot" in {notice.payload for notice in listener.notifies(timeout=10, stop_after=1)}


def test_sales_of_unknown_sites_and_changed_lines_are_told_and_nothing_is_written(
    connection: psycopg.Connection[Any],
) -> None:
    load_all(connection)
    outcome = load(
        connection, Kind.POS_SALES, SALES.replace(",2,", ",3,") + "demo,s9,cola,1,2099-01-05T08:00:00Z,r3,1\n"
    )
    assert [(fault.line, fault.column) for fault in outcome.faults] == [(2, ""), (4, "site"), (4, "sold_at")]
    assert rows(connection, b"SELECT units FROM pos_sale ORDER BY id") == [(2,), (-1,)]


TREE = "tenant,org,parent,kind,name\ndemo,a,,dealer,A\ndemo,b,,dealer,B\n"
A_BELOW_B = "tenant,org,parent,kind,name\ndemo,a,b,dealer,A\n"


def test_a_move_by_hand_and_one_by_a_file_at_once_make_no_ring(
    connection: psycopg.Connection[Any], database: str
) -> None:
    load(connection, Kind.ORGS, TREE)
    place = {"tenant_id": "demo", "org_id": "b"}
    with psycopg.connect(database) as by_hand, ThreadPoolExecutor(1) as pool:
        by_hand.execute(LOCK_TREE, place)
        by_hand.execute(
            UPDATE_ORG, {**place, "parent": "a", "kind": "dealer", "name": "B", "segment": "", "version": 1}
        )
        by_file = pool.submit(load, connection, Kind.ORGS, A_BELOW_B)
        assert wait_until(lambda: _waits(by_hand, connection), 60)
        by_hand.commit()
        outcome = by_file.result(60)
    assert [(fault.line, fault.column) for fault in outcome.faults] == [(2, "parent")]
    assert rows(connection, b"SELECT org_id, parent_id FROM org ORDER BY org_id") == [("a", None), ("b", "a")]


def test_two_moves_that_ask_nobody_make_no_ring_either(connection: psycopg.Connection[Any], database: str) -> None:
    load(connection, Kind.ORGS, TREE)
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        one.execute("UPDATE org SET parent_id = 'a' WHERE org_id = 'b'")
        other.execute("UPDATE org SET parent_id = 'b' WHERE org_id = 'a'")
        one.commit()
        with pytest.raises(psycopg.errors.CheckViolation, match="cannot stand below itself"):
            other.commit()


def test_a_file_may_turn_a_tree_round_line_by_line(connection: psycopg.Connection[Any]) -> None:
    load(connection, Kind.ORGS, TREE.replace("b,,", "b,a,"))
    assert load(connection, Kind.ORGS, TREE.replace("a,,", "a,b,")).faults == ()
    assert rows(connection, b"SELECT org_id, parent_id FROM org ORDER BY org_id") == [("a", "b"), ("b", None)]


def _waits(asking: psycopg.Connection[Any], other: psycopg.Connection[Any]) -> bool:
    query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    return asking.execute(query, (other.info.backend_pid,)).fetchone() == (True,)
