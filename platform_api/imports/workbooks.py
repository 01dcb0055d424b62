"""What of an XLSX workbook may be read: bounded in what it unpacks to, in the cells it spans and in their text. Pure.

The reader of sheets holds the rectangle of a sheet and the text of each of its cells in memory, and goes by what a
member of the archive unpacks to, whatever size it tells. So members are unpacked here, no further than they tell; what
is XML is parsed; and what was judged is packed again for the reader, who sees nothing else.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Final
from xml.parsers import expat

UNPACKED_MAX_BYTES: Final = 64 * 1024 * 1024
"""A workbook may unpack to so much: more is no table of people."""
CELLS_MAX: Final = 6_000_000
"""Of the rectangle that a sheet spans: it is held in memory, empty or not."""
TEXT_MAX_CHARS: Final = UNPACKED_MAX_BYTES
"""Of all cells of a sheet: a text that is stored once may be shown by any number of them."""

_PLACE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_NUMBER: Final = re.compile(r"[0-9]{1,7}")
_WHOLE: Final = True
"""A part is parsed in one piece."""


class WorkbookError(Exception):
    """A file that is no workbook, or one beyond what may be read."""


class _UnreadError(Exception):
    """A part that is left out: what means nothing in a workbook could mean something else to its reader."""


def judged(content: bytes) -> bytes:
    """The workbook, packed again of what may be read of it. Raises WorkbookError."""
    parts = {name: part for name, part in _unpacked(content).items() if _is_xml(part)}
    if "xl/workbook.xml" not in parts or "content.xml" in parts:
        raise WorkbookError("not a workbook of Excel: save it as XLSX")
    lengths = _shared_lengths(parts.values())
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in parts.items():
            if b"sheetData" in part:
                _Sheet(lengths).read(part)
            archive.writestr(name, part)
    return target.getvalue()


def _unpacked(content: bytes) -> Mapping[str, bytes]:
    """Members by name, each no further than the size that the archive tells. Raises WorkbookError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > UNPACKED_MAX_BYTES:
                raise WorkbookError(f"the workbook unpacks to more than {UNPACKED_MAX_BYTES} bytes")
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error) as error:
        raise WorkbookError("not a workbook: the archive is damaged") from error


def _parser() -> expat.XMLParserType:
    """A parser of UTF-8, whatever a part says that it is written in: so the reader of sheets takes it.

    Document types and processing instructions mean nothing in a workbook.
    """
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _leave_out
    parser.ProcessingInstructionHandler = _leave_out
    return parser


def _leave_out(*_: object) -> None:
    raise _UnreadError


def _is_xml(part: bytes) -> bool:
    if b"\0" in part:
        return False  # UTF-16 is known by its zero bytes, whatever the parser was told
    try:
        _parser().Parse(part, _WHOLE)
    except (expat.ExpatError, _UnreadError):
        return False
    return True


def _shared_lengths(parts: Iterable[bytes]) -> list[int]:
    """Characters of each text that cells may name by its place; of several tables of them the longest."""
    longest: list[int] = []
    for part in parts:
        if b"si>" not in part:
            continue
        found: list[int] = []

        def start(name: str, _: object, found: list[int] = found) -> None:
            if _local(name) == "si":
                found.append(0)

        def text(data: str, found: list[int] = found) -> None:
            if found:
                found[-1] += len(data)

        parser = _parser()
        parser.StartElementHandler, parser.CharacterDataHandler = start, text
        parser.Parse(part, _WHOLE)
        longest = [max(pair) for pair in _paired(longest, found)]
    return longest


def _paired(one: list[int], other: list[int]) -> Iterable[tuple[int, int]]:
    size = max(len(one), len(other))
    return zip(one + [0] * (size - len(one)), other + [0] * (size - len(other)), strict=True)


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


class _Sheet:
    """Counts the cells of a sheet from A1 to the farthest one, and the text of those that name a shared one.

    A cell or row that does not say where it stands follows the one before.
    """

    def __init__(self, lengths: list[int]) -> None:
        self._lengths = lengths
        self._row = self._column = 0
        self._width = self._height = 0
        self._chars = 0
        self._names_text = False
        self._index = ""

    def read(self, part: bytes) -> None:
        """Judge a part that is XML. Raises WorkbookError."""
        parser = _parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(part, _WHOLE)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        kind = _local(name)
        if kind == "row":
            self._row = max(self._row + 1, _number(attributes.get("r", "0")))
            self._column = 0
        elif kind == "c":
            column, row = _place(attributes["r"]) if "r" in attributes else (0, 0)
            self._row = max(self._row, row)
            self._column = max(self._column + 1, column)
            self._width, self._height = max(self._width, self._column), max(self._height, self._row)
            if self._width * self._height > CELLS_MAX:
                raise WorkbookError(f"the sheet spans more than {CELLS_MAX} cells")
            self._names_text, self._index = attributes.get("t") == "s", ""

    def _text(self, data: str) -> None:
        if self._names_text:
            self._index += data

    def _end(self, name: str) -> None:
        if self._names_text and _local(name) == "c":
            self._names_text = False
            index = _number(self._index.strip())
            self._chars += self._lengths[index] if index < len(self._lengths) else 0
            if self._chars > TEXT_MAX_CHARS:
                raise WorkbookError(f"the cells of the sheet hold more than {TEXT_MAX_CHARS} characters")


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise WorkbookError(f"{text[:20]!r} is no number of a row or text")
    return int(text)


def _place(text: str) -> tuple[int, int]:
    """Column and row of a cell, counted from 1."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise WorkbookError(f"{text[:20]!r} is no place of a cell")
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - 64
    return column, int(found[2])
