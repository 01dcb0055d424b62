import csv
import io
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xlsxwriter import Workbook

from platform_api.exports.files import Format, write
from platform_api.imports.staging import Fault, read_rows
from platform_api.imports.tables import TableError, read_table
from platform_api.kit.nouns import GUARDED, Kind, guarded, unguarded
from tests.services.tables import written

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-x"])
def test_no_text_of_a_csv_file_is_a_formula(text: str) -> None:
    ((cell,),) = list(csv.reader(io.StringIO(written(Format.CSV, "x", ["a"], [[text]]).decode("utf-8-sig"))))[1:]
    assert cell == "'" + text


def test_numbers_are_no_formulas_and_stay_as_they_are() -> None:
    assert written(Format.CSV, "x", ["a", "b"], [[-3, -0.5]]).decode("utf-8-sig") == "a,b\r\n-3,-0.5\r\n"


@given(TEXTS)
def test_what_is_guarded_is_understood_by_the_import(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in GUARDED


@pytest.mark.parametrize("form", list(Format))
def test_cells_come_back_as_texts(form: Format) -> None:
    row = [
        "=1+1", "0123", 12, 1.5, True, None, datetime(2026, 1, 5, 8, tzinfo=UTC), date(2026, 1, 6), UUID(int=7), "绿茶",
    ]  # fmt: skip
    names = [f"c{number}" for number in range(len(row))]
    table = read_table(written(form, "sheet", names, [row, [None] * 9 + ["x"]]))
    assert table.header == names
    lines = list(table.lines)
    assert lines[0] == (
        2,
        ["=1+1", "0123", "12", "1.5", "true", "", "2026-01-05T08:00:00Z", "2026-01-06", str(UUID(int=7)), "绿茶"],
    )
    assert lines[1] == (3, [""] * 9 + ["x"])


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + b"x" * 100, b"\xff", b"a\x00b", b'a\n"b'])
def test_what_is_no_table_is_refused_with_its_reason(content: bytes) -> None:
    with pytest.raises(TableError):
        list(read_table(content).lines)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    for damaged in (content, b"PK\x03\x04" + content):
        with suppress(TableError):
            list(read_table(damaged).lines)


def test_a_workbook_that_spans_the_whole_sheet_is_refused_before_it_is_read() -> None:
    target = io.BytesIO()
    with Workbook(target) as book:
        page = book.add_worksheet()
        page.write_string(0, 0, "a")
        page.write_string(1_048_575, 16_383, "x")
    with pytest.raises(TableError, match="spans more than"):
        read_table(target.getvalue())


def test_a_workbook_that_is_cut_or_changed_anywhere_is_refused_or_read() -> None:
    whole = written(Format.XLSX, "sheet", ["a"], [["x"]] * 5)
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        for damaged in (whole[:place], whole[:place] + b"\xff" + whole[place + 1 :]):
            with suppress(TableError):
                list(read_table(damaged).lines)


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that a piece of work takes at most, beside those that were there."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


ROWS = 20_000
ROW_BYTES = 300
LITTLE_BYTES = ROWS * ROW_BYTES // 2


@pytest.mark.parametrize("form", list(Format))
def test_writing_a_file_takes_no_more_memory_for_more_rows(form: Format) -> None:
    text = "x" * ROW_BYTES
    with tempfile.TemporaryFile() as target:
        rows = ((number, f"{number}{text}") for number in range(ROWS))
        assert peak_of(lambda: write(target, form, "sheet", ["a", "b"], rows)) < LITTLE_BYTES


def test_reading_rows_takes_no_more_memory_for_more_of_them() -> None:
    name = "x" * 190
    content = ("sku,name_en,name_zh,unit_weight_g\n" + "".join(f"s{n},{name},{name},1\n" for n in range(ROWS))).encode()
    read = []
    # What is kept of a row is its name, as a digest.
    assert peak_of(lambda: read.append(sum(1 for _ in read_rows(Kind.SKUS, content, "demo")))) < LITTLE_BYTES
    assert read == [ROWS]


def test_rows_beyond_the_limit_are_a_fault() -> None:
    *_, last = read_rows(Kind.SKUS, b"sku,name_en,unit_weight_g\na,A,1\nb,B,1\nc,C,1\n", "demo", rows_max=2)
    assert last == Fault(4, "", "more than 2 rows: split the file")
