"""A CSV file becomes checked rows, or a list of everything that is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from platform_api.catalogue.models import NewSku
from platform_api.imports.kinds import columns
from platform_api.imports.staging import Fault, stage
from platform_api.kit.gtin import has_check_digit
from platform_api.kit.nouns import Kind
from platform_api.tenancy.admin_models import NewOrg

SLOTS = "tenant,site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,target\n"
SKUS = "tenant,sku,name_en,unit_weight_g\n"


def faults(kind: Kind, text: str) -> list[tuple[int, str, str]]:
    return [(fault.line, fault.column, fault.text) for fault in stage(kind, text.encode()).faults]


def test_a_good_file_has_rows_and_no_faults() -> None:
    result = stage(Kind.SKUS, b"\xef\xbb\xbf" + (SKUS + "demo,cola,Cola,345.5\n\n").encode())
    assert result.faults == []
    assert [item.row.model_dump(exclude_defaults=True) for item in result.rows] == [
        {"tenant": "demo", "sku": "cola", "name_en": "Cola", "unit_weight_g": 345.5}
    ]


def test_every_mistake_is_told_with_its_line_and_column() -> None:
    text = SLOTS + (
        "demo,s1,g1,a,a.weight_g,cola,345,3,24,8,20\n"
        "Demo,s1,g1,b,b.weight_g,cola,-1,3,24,8,20\n"
        "demo,s1,g1,c,cweight,,345,3,many,8,20\n"
        "demo,s1,g1,d,d.weight_g,cola,345,3,24,20,8\n"
        "demo,s1,g1,a,e.weight_g,cola,345,3,24,8,20\n"
        "demo,s1,g1,f,f.weight_g,cola,345,3,24,8,20,surplus\n"
    )
    assert [(line, column) for line, column, _ in faults(Kind.SLOTS, text)] == [
        (3, "tenant"), (3, "unit_weight_g"), (4, "channel"), (4, "sku"), (4, "capacity"), (5, ""), (6, ""), (7, ""),
    ]  # fmt: skip
    told = "\n".join(text for *_, text in faults(Kind.SLOTS, text))
    assert "demo/g1/a stands in line 2 already" in told
    assert "reorder_point < target <= capacity is needed" in told
    assert "is empty" in told


@pytest.mark.parametrize("name", ["tea/green", "tea?", "tea#1", "50%", "tea:approve"])
def test_what_no_address_can_name_is_refused_as_by_hand_with_the_reason(name: str) -> None:
    ((line, column, text),) = faults(Kind.SKUS, SKUS + f"demo,{name},Tea,100\n")
    assert (line, column) == (2, "sku")
    assert "a SKU has none of / ? # % : in it, since addresses name it" in text
    with pytest.raises(ValidationError):
        NewSku.model_validate({"sku": name, "name_en": "Tea", "unit_weight_g": 100.0})
    ((line, column, text),) = faults(Kind.ORGS, "tenant,org,kind,name\n" + f"demo,{name},dealer,East\n")
    assert (line, column) == (2, "org")
    assert "an organisation is named by a-z, 0-9, _ and -, since addresses name it" in text
    with pytest.raises(ValidationError):
        NewOrg.model_validate({"id": name, "kind": "dealer", "name": "East"})


def test_a_row_over_several_lines_is_told_by_its_last_one() -> None:
    text = SKUS + 'demo,cola,"Cola\nin two lines",345\ndemo,tea,Tea,zero\n'
    assert [line for line, *_ in faults(Kind.SKUS, text)] == [4]


def test_a_wrong_header_is_told_before_any_row() -> None:
    assert faults(Kind.SKUS, "tenant,sku,colour,sku\nx,y,z,y\n") == [
        (1, "unit_weight_g", "this column is missing"),
        (1, "colour", f"unknown column; skus has {', '.join(columns(Kind.SKUS))}"),
        (1, "sku", "this column stands twice"),
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"tenant,sku\0", "zero bytes"),
        (SKUS.encode(), "no rows"),
        (b"", "missing"),
        (SKUS.encode() + b'demo,"cola', "not CSV"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(content: bytes, text: str) -> None:
    result = stage(Kind.SKUS, content)
    assert result.faults
    assert text in result.faults[0].text


def test_faults_end_where_they_help_nobody_any_more() -> None:
    result = stage(Kind.SKUS, (SKUS + "demo,cola,Cola,none\n" * 5_000).encode())
    assert len(result.faults) == 1_000


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(content: bytes) -> None:
    result = stage(Kind.SLOTS, content)
    assert result.faults
    assert all(isinstance(fault, Fault) for fault in result.faults)


@pytest.mark.parametrize("gtin", ["6901234567892", "4006381333931", "96385074", "00012345600012"])
def test_a_right_check_digit_is_accepted(gtin: str) -> None:
    assert has_check_digit(gtin)
    wrong = gtin[:-1] + str((int(gtin[-1]) + 1) % 10)
    assert not has_check_digit(wrong)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("demo,s1,,store,Store,,91,0,UTC", "lat"),
        ("demo,s1,,store,Store,,30,,UTC", ""),
        ("demo,s1,,store,Store,,,,Mars/Olympus", "timezone"),
        ("demo,s1,,kiosk,Store,,,,UTC", "kind"),
    ],
)
def test_a_site_stands_on_earth(row: str, column: str) -> None:
    found = faults(Kind.SITES, f"tenant,site,org,kind,name,city,lat,lon,timezone\n{row}\n")
    assert [name for _, name, _ in found] == [column]
