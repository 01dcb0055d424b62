"""Readings as files, and the losses that gateways declared."""

import csv
import io
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg import sql

from platform_api.kit import places
from platform_api.telemetry import export
from tests.integration.api.world import READINGS, UNIT_G, World


@pytest.fixture
def world(shared_world: World) -> World:
    """These tests change nothing that another one looks at."""
    return shared_world


def whole(world: World, **more: object) -> dict[str, Any]:
    end = world.acme.end
    return {"from": (end - timedelta(hours=1)).isoformat(), "to": end.isoformat(), "gateway": "gw-east-1", **more}


def expected() -> list[float]:
    return [12 * UNIT_G + age_s % 7 for age_s in range(READINGS, 0, -1)]


def table_of(form: str, body: bytes) -> pa.Table:
    if form == "arrow":
        return pa.ipc.open_stream(body).read_all()
    return pq.read_table(io.BytesIO(body))


def test_a_csv_file_has_every_reading_in_order_of_time(ops: TestClient, world: World) -> None:
    answer = ops.get("/v1/readings:export", params=whole(world))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="readings-')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["value"]) for row in rows] == expected()
    assert rows[0]["time"] == (world.acme.end - timedelta(seconds=READINGS)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert {(row["gateway"], row["channel"], row["quality"]) for row in rows} == {("gw-east-1", "s01-b1.weight_g", "0")}


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_columnar_file_has_the_same_readings(
    form: str, ops: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "BATCH_ROWS", 64)
    monkeypatch.setattr(export, "ROW_GROUP_BATCHES", 3)
    answer = ops.get("/v1/readings:export", params=whole(world, format=form))
    table = table_of(form, answer.content)
    assert table.column("value").to_pylist() == expected()
    assert set(table.column("channel").to_pylist()) == {"s01-b1.weight_g"}
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
def test_a_range_without_readings_is_an_empty_file(form: str, ops: TestClient, world: World) -> None:
    begin = world.acme.end - timedelta(days=9)
    params = whole(world, format=form) | {"from": begin.isoformat(), "to": (begin + timedelta(hours=1)).isoformat()}
    answer = ops.get("/v1/readings:export", params=params)
    assert answer.status_code == 200
    if form == "csv":
        assert answer.text == "time,gateway,channel,value,quality\r\n"
    else:
        assert table_of(form, answer.content).num_rows == 0


def test_several_series_follow_each_other_in_one_file(ops: TestClient, world: World) -> None:
    params = whole(world, format="parquet")
    del params["gateway"]
    with psycopg.connect(world.dsn) as connection:
        ids = [row[0] for row in connection.execute("SELECT series_id FROM series WHERE tenant_id = 'acme'").fetchall()]
    table = table_of("parquet", ops.get("/v1/readings:export", params={**params, "series_id": ids}).content)
    gateways = table.column("gateway").to_pylist()
    assert gateways == ["gw-east-1"] * READINGS + ["gw-west-1"] * READINGS


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"gateway": None}, "query.series_id"),
        ({"from": "2020-01-01T00:00:00Z"}, "query.resolution"),
        ({"to": "2020-01-01T00:00:00Z"}, "query.from"),
        ({"format": "xlsx"}, "query.format"),
        ({"from": None}, "query.from"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_words(
    change: dict[str, str | None], where: str, ops: TestClient, world: World
) -> None:
    params = {key: value for key, value in (whole(world) | change).items() if value is not None}
    answer = ops.get("/v1/readings:export", params=params)
    assert answer.status_code == 422
    assert where in answer.text


def test_another_tenants_series_is_not_exported(ops: TestClient, world: World) -> None:
    params = whole(world, series_id=world.bravo.series)
    del params["gateway"]
    assert ops.get("/v1/readings:export", params=params).status_code == 404


def test_more_exports_than_places_are_told_to_come_back(ops: TestClient, application: FastAPI, world: World) -> None:
    taken = application.state.pool.get_stats().get("requests_num", 0)
    with ExitStack() as holding:
        for _ in range(places.PLACES_MAX):
            holding.enter_context(places.EXPORTS.take())
        answer = ops.get("/v1/readings:export", params=whole(world))
        # Who is sent away has taken no connection but that which told who asks.
        assert application.state.pool.get_stats().get("requests_num", 0) == taken + 1
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
    assert ops.get("/v1/readings:export", params=whole(world)).status_code == 200


def test_an_export_that_is_too_long_breaks_off(ops: TestClient, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_MAX", READINGS - 1)
    answer = ops.get("/v1/readings:export", params=whole(world))
    assert answer.status_code == 500 or len(answer.text.splitlines()) < READINGS


@pytest.mark.usefixtures("ops")
def test_a_dealer_exports_only_what_its_sites_measured(ops: TestClient, world: World) -> None:
    from tests.integration.api.conftest import token_of  # noqa: PLC0415 - beside the fixture that it needs

    headers = token_of(ops, "dealer@acme")
    params = whole(world, gateway="gw-west-1")
    assert ops.get("/v1/readings:export", params=params, headers=headers).status_code == 404
    assert ops.get("/v1/readings:export", params=whole(world), headers=headers).status_code == 200


def test_gaps_are_listed_newest_first_and_paged_without_loss(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        for tenant in ("acme", "bravo"):
            for number in range(5):
                connection.execute(
                    sql.SQL(
                        """INSERT INTO ingest_gap (tenant_id, gateway_id, lane, ep, from_seq, to_seq, reason, noted_at)
                           VALUES (%s, 'gw-east-1', 'tel', 'k3v9', %s, %s, 'evicted', %s)"""
                    ),
                    (tenant, 10 * number + 1, 10 * number + 5, world.acme.end + timedelta(seconds=number // 2)),
                )
    seen, cursor = [], None
    while True:
        page = ops.get("/v1/gaps", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [(item["first"], item["last"], item["reason"]) for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [(first, first + 4, "evicted") for first in (41, 31, 21, 11, 1)]
