"""Workbooks that would take the machine's memory are refused before anything holds them."""

import io
import struct
import zipfile
import zlib

import pytest

from platform_api.imports import workbooks
from platform_api.imports.tables import TableError, read_table
from platform_api.imports.workbooks import WorkbookError, judged

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT = "http://schemas.openxmlformats.org/package/2006/content-types"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
SHARED = "xl/sharedStrings.xml"


def sheet_of(cells: str, head: str = "") -> str:
    return f'{head}<worksheet xmlns="{MAIN}"><sheetData>{cells}</sheetData></worksheet>'


def related(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{PACKAGE}"><Relationship Id="a" Type="{OFFICE}/{kind}" Target="{target}"/>'
        "</Relationships>"
    )


def workbook(sheet: str | bytes, shared: str = "", target: str = "worksheets/sheet1.xml") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{CONTENT}"/>')
        archive.writestr("_rels/.rels", related("officeDocument", "xl/workbook.xml"))
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="S" sheetId="1" r:id="a"/></sheets>'
            "</workbook>",
        )
        archive.writestr("xl/_rels/workbook.xml.rels", related("worksheet", target))
        archive.writestr(f"xl/{target}", sheet)
        archive.writestr(SHARED, f'<sst xmlns="{MAIN}">{shared}</sst>')
    return content.getvalue()


def cell(place: str, value: str = "1") -> str:
    return f"<row><c {place}><v>{value}</v></c></row>"


FIRST = cell('r="A1"')


def test_cells_that_do_not_say_where_they_stand_follow_one_another() -> None:
    content = workbook(sheet_of("<row><c><v>1</v></c><c><v>2</v></c></row><row><c><v>3</v></c></row>"))
    table = read_table(content)
    assert (table.header, list(table.lines)) == (["1", "2"], [(2, ["3", ""])])


@pytest.mark.parametrize(
    "cells",
    [
        FIRST + cell('r="XFD1048576"'),
        FIRST + cell("r = 'XFD1048576'"),
        FIRST + cell('r="xfd1048576"'),
        FIRST + cell('r="ZZZZ1"'),
        FIRST + '<row r="9999999"><c r="XFD1"><v>1</v></c></row>',
        FIRST + '<row r="9999999">' + "<c/>" * 1_000 + "</row>",
        "<row>" + "<c/>" * 3_000 + "</row>" + "<row/>" * 3_000 + cell(""),
        FIRST + '<x:row xmlns:x="y"><x:c r="XFD1048576"><x:v>1</x:v></x:c></x:row>',
    ],
)
def test_a_sheet_that_spans_too_much_is_refused_however_it_is_written(cells: str) -> None:
    for content in (workbook(sheet_of(cells)), workbook(sheet_of(cells), target="elsewhere/part.bin")):
        with pytest.raises(TableError):
            read_table(content)


def test_a_text_that_is_stored_once_counts_for_each_cell_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "TEXT_MAX_CHARS", 1_000)
    cells = "<row>" + '<c t="s"><v>1</v></c>' * 11 + "</row>"
    text = "<si><r><t>a</t></r></si><si><r><t>" + "x" * 60 + "</t></r><r><t>" + "y" * 40 + "</t></r></si>"
    with pytest.raises(WorkbookError, match="characters"):
        judged(workbook(sheet_of(cells), text))
    assert len(read_table(workbook(sheet_of(cells.replace('<c t="s"><v>1</v></c>', "", 1)), text)).header) == 10


def test_no_member_is_unpacked_further_than_it_tells() -> None:
    text = f'<sst xmlns="{MAIN}"><si><t>{"a" * 5_000_000}</t></si></sst>'
    content = bytearray(workbook(sheet_of(cell('t="s"', "0")), text[text.index("<si>") : -len("</sst>")]))
    # The size of the member is told as 100 bytes, and the checksum is theirs.
    told = struct.pack("<I", zlib.crc32(text[:100].encode())), struct.pack("<I", 100)
    for name_at, sum_at, size_at in ((30, 14, 22), (46, 16, 24)):
        at = (content.find if name_at == 30 else content.rfind)(SHARED.encode()) - name_at
        for place, value in zip((sum_at, size_at), told, strict=True):
            content[at + place : at + place + 4] = value
    with zipfile.ZipFile(io.BytesIO(judged(bytes(content)))) as archive:
        assert SHARED not in archive.namelist()
        assert sum(member.file_size for member in archive.infolist()) < 10_000


@pytest.mark.parametrize(
    "part",
    [
        sheet_of(FIRST, '<!DOCTYPE x [<!ENTITY a "b">]>'),
        sheet_of(FIRST, "<?x y?>"),
        sheet_of(FIRST)[:-1],
        ('<?xml version="1.0" encoding="utf-16"?>' + sheet_of(FIRST)).encode("utf-16"),
    ],
)
def test_a_part_that_another_reader_could_take_for_something_else_is_left_out(part: str | bytes) -> None:
    content = judged(workbook(part))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == [
            "[Content_Types].xml",
            "_rels/.rels",
            "xl/_rels/workbook.xml.rels",
            SHARED,
            "xl/workbook.xml",
        ]
    with pytest.raises(TableError):
        read_table(workbook(part))
