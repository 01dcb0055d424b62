"""Tills tell what they sold: once, however often it is delivered."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.integration.api.conftest import token_of
from tests.integration.api.world import World

SOLD_AT = datetime(2026, 1, 5, 8, 12, 31, tzinfo=UTC)


def line(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "site": "east-1",
        "sku": "tea",
        "units": 2,
        "sold_at": "2026-01-05T16:12:31+08:00",
        "receipt": "r-1",
        "line": number,
        **changed,
    }


def tell(client: TestClient, *lines: dict[str, Any], **options: Any) -> Any:
    return client.post("/v1/pos-sales", json={"sales": list(lines)}, **options)


def stored(world: World) -> list[tuple[Any, ...]]:
    with psycopg.connect(world.dsn) as connection:
        return connection.execute(
            "SELECT tenant, site, sku, units, sold_at, line FROM pos_sale WHERE receipt = 'r-1' ORDER BY tenant, line"
        ).fetchall()


def test_lines_are_stored_with_their_time_and_returns_are_negative(ops: TestClient, world: World) -> None:
    answer = tell(ops, line(1), line(2, units=-1))
    assert (answer.status_code, answer.json()) == (200, {"received": 2, "created": 2, "known": 0})
    assert stored(world) == [("acme", "east-1", "tea", 2, SOLD_AT, 1), ("acme", "east-1", "tea", -1, SOLD_AT, 2)]
    newest = ops.get("/v1/pos-sales", params={"limit": 2}).json()["items"]
    assert [(sale["line"], sale["units"], sale["sold_at"]) for sale in newest] == [
        (2, -1, "2026-01-05T08:12:31Z"),
        (1, 2, "2026-01-05T08:12:31Z"),
    ]


def test_a_delivery_that_is_repeated_changes_nothing(ops: TestClient, world: World) -> None:
    tell(ops, line(1))
    again = tell(ops, line(1), line(2))
    assert again.json() == {"received": 2, "created": 1, "known": 1}
    assert [row[-1] for row in stored(world)] == [1, 2]


def test_a_line_told_with_other_contents_is_a_conflict_and_nothing_is_stored(ops: TestClient, world: World) -> None:
    tell(ops, line(1))
    answer = tell(ops, line(2), line(1, units=5))
    assert answer.status_code == 409
    assert "sales.1" in answer.json()["detail"]
    assert [row[-1] for row in stored(world)] == [1]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"site": "nowhere"}, "body.sales.1.site"),
        ({"sku": "cola"}, "body.sales.1.sku"),
        ({"units": 0}, "body.sales.1.units"),
        ({"line": 1}, "body.sales.1"),
        ({"sold_at": "2026-01-05T08:12:31"}, "body.sales.1.sold_at"),
        ({"sold_at": "2099-01-05T08:12:31Z"}, "body.sales.1.sold_at"),
    ],
)
def test_a_wrong_line_is_told_with_its_place_and_nothing_is_stored(
    ops: TestClient, world: World, wrong: dict[str, Any], where: str
) -> None:
    answer = tell(ops, line(1), line(2, **wrong))
    assert answer.status_code == 422
    assert [problem["where"] for problem in answer.json()["errors"]] == [where]
    assert stored(world) == []


def test_a_dealer_tells_sales_of_the_own_sites_only(anonymous: TestClient, world: World) -> None:
    dealer = token_of(anonymous, "dealer@acme")
    assert tell(anonymous, line(1), headers=dealer).status_code == 200
    assert tell(anonymous, line(2, site="west-1"), headers=dealer).status_code == 422
    assert [row[-1] for row in stored(world)] == [1]


def test_an_auditor_reads_sales_and_tells_none(anonymous: TestClient) -> None:
    auditor = token_of(anonymous, "audit@acme")
    assert anonymous.get("/v1/pos-sales", headers=auditor).status_code == 200
    assert tell(anonymous, line(1), headers=auditor).status_code == 403
