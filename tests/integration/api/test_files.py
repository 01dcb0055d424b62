"""Files in and out: every noun, both formats, and round trips."""

import csv
import io
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, cast
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient

from platform_api import jobs
from platform_api.exports.files import Format
from platform_api.exports.queries import SOURCES
from platform_api.imports.kinds import columns
from platform_api.imports.tables import read_table
from platform_api.kit.auth import Role
from platform_api.kit.limits import BODY_MAX_BYTES, FILE_MAX_BYTES
from platform_api.kit.nouns import DOCUMENTS, Kind, Noun
from platform_api.tenancy.service import create_tenant
from tests.integration.api.conftest import bearer
from tests.integration.api.world import World
from tests.services.tables import written

Row = dict[str, Any]
REGISTERED: Final = [kind for kind in Kind if kind not in DOCUMENTS]
SKUS: Final = "sku,name_en,unit_weight_g,pack_units\n"


def upload(client: TestClient, kind: Kind, content: bytes | str, key: str = "") -> Row:
    headers = {"Idempotency-Key": key or str(uuid4()), "Content-Type": "text/csv"}
    data = content if isinstance(content, bytes) else content.encode()
    answer = client.post("/v1/imports", params={"kind": kind}, content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    return cast("Row", answer.json())


def exported(client: TestClient, noun: Noun, form: Format = Format.CSV) -> bytes:
    answer = client.get("/v1/exports", params={"noun": noun, "format": form})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{noun}.{form}"'
    return bytes(answer.content)


def cells(content: bytes) -> tuple[list[str], list[list[str]]]:
    table = read_table(content)
    return table.header, [line for _, line in table.lines]


def fill(world: World) -> None:
    """What no other test needs: something of each kind that can be imported."""
    with psycopg.connect(world.dsn) as connection:
        for query in (
            "INSERT INTO sku_pack VALUES ('acme', 'tea', 'case', 12, '4006381333931')",
            "INSERT INTO sku_pack VALUES ('acme', 'tea', 'tray', 6)",
            "INSERT INTO price_item VALUES ('acme', 'list-acme', 1, 'tea', 'unit', 1, 350, NULL, NULL)",
            """INSERT INTO price_item
               VALUES ('acme', 'list-acme', 2, 'tea', 'case', 5, 3900, '2026-01-01Z', '2027-01-01Z')""",
            "INSERT INTO entitlement VALUES ('acme', 'east', '*', true), ('acme', 'west', 'tea', false)",
            """INSERT INTO credit_account (tenant_id, org_id, currency, limit_minor)
               VALUES ('acme', 'east', 'CNY', 5000000)""",
            "UPDATE sku SET name_en = '=cmd|'' /C calc''!A0' WHERE tenant_id = 'acme' AND sku = 'sku-acme'",
            """INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
               VALUES ('acme', 'east-1', 'tea', -2, '2026-11-01T08:00:00Z', '-r1', 1)""",
            "INSERT INTO channel_setting VALUES ('acme', 'gw-east-1', 's01.temp_c', 'cooler', 10, 8.5, 1800)",
            "INSERT INTO promotion_plan VALUES ('acme', 'east-1', 'tea', '2026-11-27', '2026-11-30', 0.3)",
            "UPDATE sku SET pack_units = 12 WHERE tenant_id = 'acme' AND sku = 'tea'",
            "INSERT INTO stock_policy VALUES ('acme', 'west-1', 'sku-acme', 2, 9, 'auto') ON CONFLICT DO NOTHING",
        ):
            connection.execute(query)


def test_a_file_is_checked_first_and_written_as_a_whole_when_it_is_committed(hq: TestClient) -> None:
    staged = upload(hq, Kind.SKUS, SKUS + "cola-330,Cola,345.5,24\ntea,Green tea,520,1\n")
    assert (staged["state"], staged["rows"], staged["created"], staged["updated"]) == ("staged", 2, 1, 1)
    assert hq.get("/v1/skus/cola-330").status_code == 404
    done = hq.post(f"/v1/imports/{staged['id']}:commit")
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["created"]) == ("committed", 1)
    assert hq.get("/v1/skus/cola-330").json()["packs"] == [{"uom": "case", "factor": 24, "gtin": ""}]
    # Again, and the same file once more: nothing changes.
    assert hq.post(f"/v1/imports/{staged['id']}:commit").json() == done.json()
    again = upload(hq, Kind.SKUS, SKUS + "cola-330,Cola,345.5,24\ntea,Green tea,520,1\n")
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 2)
    assert {again["id"], staged["id"]} <= {one["id"] for one in hq.get("/v1/imports").json()["items"]}


def test_every_fault_is_told_by_row_and_column_and_nothing_is_written(hq: TestClient) -> None:
    told = upload(hq, Kind.SKUS, SKUS + "good,Good,100,1\nbad,Bad,-1,many\nbad two,,5,1\n")
    assert told["state"] == "refused"
    assert [(fault["row"], fault["column"]) for fault in told["faults"]] == [
        (3, "unit_weight_g"),
        (3, "pack_units"),
        (4, ""),
    ]
    assert hq.post(f"/v1/imports/{told['id']}:commit").status_code == 409
    assert hq.get("/v1/skus/good").status_code == 404
    assert hq.get(f"/v1/imports/{told['id']}").json() == told


def test_what_has_changed_since_the_upload_is_found_when_it_is_committed(hq: TestClient, world: World) -> None:
    staged = upload(hq, Kind.ENTITLEMENTS, "org,sku,allowed\nonly-acme,tea,true\n")
    with psycopg.connect(world.dsn) as connection:
        connection.execute("DELETE FROM org WHERE tenant_id = 'acme' AND org_id = 'only-acme'")
    answer = hq.post(f"/v1/imports/{staged['id']}:commit")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"where": "row 2.org", "message": "there is no org 'only-acme'"}]


def test_organisations_of_a_file_stand_in_no_ring(hq: TestClient) -> None:
    head = "org,parent,kind,name\n"
    told = upload(hq, Kind.ORGS, head + "east,west,dealer,East\nwest,east,dealer,West\nonly-acme,brand,region,Only\n")
    assert [(fault["row"], fault["column"]) for fault in told["faults"]] == [(2, "parent"), (3, "parent")]
    assert upload(hq, Kind.ORGS, head + "east,west,dealer,East\nwest,brand,dealer,West\n")["state"] == "staged"


def test_what_the_database_does_not_take_is_told_by_row(hq: TestClient, world: World) -> None:
    fill(world)
    head = "sku,uom,factor,gtin\n"
    # The case gives its number to the tray, which it would have had at the same time.
    told = upload(hq, Kind.PACKS, head + "tea,tray,6,4006381333931\ntea,case,12,\n")
    assert [(fault["row"], fault["message"]) for fault in told["faults"]] == [(2, "cannot be stored: sku_pack_gtin")]


def test_rows_may_name_what_stands_in_a_line_far_above(hq: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform_api.imports.service.BATCH_ROWS", 2)
    names = ["brand", *(f"o{number}" for number in range(7))]
    rows = "".join(f"{org},{above},region,{org}\n" for above, org in pairwise(names))
    staged = upload(hq, Kind.ORGS, "org,parent,kind,name\n" + rows)
    assert (staged["faults"], staged["created"]) == ([], 7)
    assert hq.post(f"/v1/imports/{staged['id']}:commit").json()["created"] == 7
    assert upload(hq, Kind.ORGS, "org,parent,kind,name\n" + rows)["unchanged"] == 7


def test_only_the_newest_files_wait_to_be_committed(hq: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform_api.flows.import_routes.STAGED_MAX", 2)
    staged = [upload(hq, Kind.SKUS, SKUS + f"s{number},S,1,1\n") for number in range(3)]
    answers = [hq.post(f"/v1/imports/{one['id']}:commit").status_code for one in staged]
    assert answers == [409, 200, 200]


def test_what_became_of_a_file_is_told_for_ninety_days(hq: TestClient, world: World) -> None:
    old, young = (upload(hq, Kind.SKUS, SKUS + f"s{number},S,1,1\n")["id"] for number in range(2))
    assert hq.post(f"/v1/imports/{old}:commit").status_code == 200
    with psycopg.connect(world.dsn, autocommit=True) as owner:
        owner.execute("UPDATE import_batch SET created_at = now() - interval '89 days'")
        jobs.forget_events(owner, datetime.now(UTC))
        assert hq.get(f"/v1/imports/{old}").status_code == 200
        owner.execute("UPDATE import_batch SET created_at = now() - interval '91 days' WHERE import_id = %s", (old,))
        jobs.forget_events(owner, datetime.now(UTC))
    assert [hq.get(f"/v1/imports/{one}").status_code for one in (old, young)] == [404, 200]
    assert hq.get("/v1/skus/s0").status_code == 200


def test_an_upload_that_comes_twice_is_one(hq: TestClient) -> None:
    first = upload(hq, Kind.SKUS, SKUS + "a,A,1,1\n", key="one")
    assert upload(hq, Kind.SKUS, SKUS + "a,A,1,1\n", key="one") == first
    headers = {"Idempotency-Key": "one"}
    other = hq.post("/v1/imports", params={"kind": "skus"}, content=SKUS + "b,B,1,1\n", headers=headers)
    assert other.status_code == 422


def test_the_file_of_another_company_is_refused(hq: TestClient) -> None:
    told = upload(hq, Kind.SKUS, "tenant," + SKUS + "bravo,x,X,1,1\n")
    assert [(fault["row"], fault["column"]) for fault in told["faults"]] == [(2, "tenant")]


def test_prices_of_a_published_list_do_not_change_and_may_be_told_again(hq: TestClient, world: World) -> None:
    fill(world)
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE price_list SET state = 'published' WHERE tenant_id = 'acme'")
    head = "list,sku,uom,min_qty,amount_minor\n"
    assert upload(hq, Kind.PRICES, head + "list-acme,tea,unit,1,350\n")["unchanged"] == 1
    told = upload(hq, Kind.PRICES, head + "list-acme,tea,unit,1,360\nlist-acme,tea,box,1,1\n")
    assert [(fault["row"], fault["column"]) for fault in told["faults"]] == [(2, "list"), (3, "list"), (3, "uom")]


def test_a_tenants_quota_holds_for_files_too(hq: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        connection.execute("INSERT INTO tenant_quota VALUES ('acme', 'orgs', 5)")
    staged = upload(hq, Kind.ORGS, "org,parent,kind,name\na,brand,dealer,A\nb,brand,dealer,B\n")
    assert hq.post(f"/v1/imports/{staged['id']}:commit").status_code == 403
    assert hq.get("/v1/orgs/a").status_code == 404


def test_a_file_may_be_larger_than_other_bodies_up_to_a_limit(hq: TestClient) -> None:
    rows = "".join(f"sku-{number},{'x' * 190},1,1\n" for number in range(2_000))
    assert len(rows) > BODY_MAX_BYTES
    assert upload(hq, Kind.SKUS, SKUS + rows)["rows"] == 2_000
    answer = hq.post("/v1/imports?kind=skus", content=b"x" * (FILE_MAX_BYTES + 1), headers={"Idempotency-Key": "x"})
    assert answer.status_code == 413


@pytest.mark.parametrize("form", list(Format))
def test_what_is_exported_can_be_imported_again_and_changes_nothing(form: Format, hq: TestClient, world: World) -> None:
    fill(world)
    for kind in REGISTERED:
        content = exported(hq, Noun(kind.value), form)
        header, rows = cells(content)
        assert tuple(header) == columns(kind), kind
        assert rows, kind
        told = upload(hq, kind, content)
        assert (kind, told["faults"], told["unchanged"]) == (kind, [], len(rows))


def test_another_company_can_be_made_of_the_files_of_one(hq: TestClient, world: World) -> None:
    fill(world)
    files = {kind: cells(exported(hq, Noun(kind.value), Format.XLSX)) for kind in REGISTERED}
    with psycopg.connect(world.dsn) as connection:
        create_tenant(connection, "fresh", "Fresh")
        connection.execute(
            """INSERT INTO app_user (user_id, tenant_id, login, name, role, password_hash)
               SELECT %s, 'fresh', 'hq@fresh', 'hq', 'hq', password_hash FROM app_user WHERE login = 'hq@acme'""",
            (uuid4(),),
        )
    hq.headers.update(bearer(world, "hq@fresh"))
    for kind, (header, rows) in files.items():
        staged = upload(hq, kind, written(Format.XLSX, kind, header[1:], [row[1:] for row in rows]))
        assert staged["faults"] == [], kind
        assert hq.post(f"/v1/imports/{staged['id']}:commit").status_code == 200, kind
    for kind, (header, rows) in files.items():
        assert cells(exported(hq, Noun(kind.value))) == (header, [["fresh", *row[1:]] for row in rows]), kind


@pytest.mark.parametrize("form", list(Format))
def test_every_noun_is_exported_in_both_formats_and_shows_the_tenant_alone(
    form: Format, hq: TestClient, world: World
) -> None:
    fill(world)
    for noun in Noun:
        header, rows = cells(exported(hq, noun, form))
        assert len(header) == len(set(header)) > 1, noun
        assert not any("bravo" in cell for row in rows for cell in row), noun


@pytest.mark.parametrize("role", list(Role))
def test_roles_have_the_nouns_that_their_lists_show_them(role: Role, anonymous: TestClient, world: World) -> None:
    login = "audit" if role is Role.AUDITOR else role.value
    anonymous.headers.update(bearer(world, f"{login}@acme"))
    for noun, source in SOURCES.items():
        expected = 200 if role in source.roles else 403
        assert anonymous.get("/v1/exports", params={"noun": noun}).status_code == expected, noun


def test_a_dealer_exports_what_is_theirs(anonymous: TestClient, world: World) -> None:
    anonymous.headers.update(bearer(world, "dealer@acme"))
    for noun, column in ((Noun.SITES, "site"), (Noun.SLOTS, "site"), (Noun.PROPOSALS, "site"), (Noun.ORGS, "org")):
        header, rows = cells(exported(anonymous, noun))
        assert {row[header.index(column)] for row in rows} == ({"east-1"} if column == "site" else {"east"}), noun
    assert cells(exported(anonymous, Noun.ORDERS))[1] == []


def test_texts_that_would_be_formulas_are_guarded(hq: TestClient, world: World) -> None:
    fill(world)
    rows = list(csv.reader(io.StringIO(exported(hq, Noun.SKUS).decode("utf-8-sig"))))
    assert "'=cmd|' /C calc'!A0" in {cell for row in rows for cell in row}
    assert "<f>" not in exported(hq, Noun.SKUS, Format.XLSX).decode("latin-1")


def test_times_bound_an_export(hq: TestClient, world: World) -> None:
    fill(world)
    for bounds, count in (({"from": "2026-11-01T00:00:00Z"}, 1), ({"to": "2026-11-01T00:00:00Z"}, 0)):
        content = hq.get("/v1/exports", params={"noun": "pos-sales", **bounds}).content
        rows = [row for row in cells(content)[1] if row[2] == "tea" and row[5] == "-r1"]
        assert len(rows) == count
