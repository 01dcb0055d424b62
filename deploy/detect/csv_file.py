"""Scores of a CSV file, row by row: any columns, any interval, files of any length."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from rich.console import Console
from rich.progress import Progress

from contracts.errors import UserError
from stream.detector import SeriesDetector

FORMATS: Final = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M:%S",
                  "%Y/%m/%d %H:%M", "%Y/%m/%d", "%m/%d/%Y", "%d.%m.%Y")  # fmt: skip
"""What people write beside ISO 8601."""
EPOCH_STEPS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""A number above the first is a time in so many parts of a second."""
DELIMITERS: Final = ",;\t|"
TELL_ROWS: Final = 2_000
"""Rows between two steps of the progress bar."""


@dataclass(frozen=True)
class Request:
    """What to score: the file, its columns, where the rows go, and the score at which an anomaly opens."""

    file: Path
    time: str
    values: tuple[str, ...]
    out: Path
    alarm_score: float


@dataclass
class Found:
    """What came of it; the series is kept for a plot only. ``alarms`` has one entry a row."""

    names: tuple[str, ...]
    rows: int = 0
    anomalies: int = 0
    times: list[float] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    alarms: list[bool] = field(default_factory=list)


def score_file(request: Request, console: Console, *, keep: bool) -> Found:
    """Read, score and write. Raises UserError that names the line."""
    try:
        with request.file.open(encoding="utf-8-sig", newline="") as source:
            size = request.file.stat().st_size
            with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task(f"[bold]{request.file.name}", total=size)
                lines = _counted(source, lambda read: progress.update(task, completed=read))
                return _score(request, lines, keep=keep)
    except UnicodeDecodeError as error:
        msg = f"{request.file} is not UTF-8: {error.reason} at byte {error.start}"
        raise UserError(msg) from error
    except csv.Error as error:
        msg = f"{request.file} is not CSV: {error}"
        raise UserError(msg) from error
    except OSError as error:
        msg = f"cannot read {error.filename or request.file}: {error.strerror}"
        raise UserError(msg) from error


def _counted(source: TextIO, tell: Callable[[int], None]) -> Iterator[str]:
    read = 0
    for number, line in enumerate(source):
        read += len(line)
        if number % TELL_ROWS == 0:
            tell(read)
        yield line


def _score(request: Request, lines: Iterator[str], *, keep: bool) -> Found:
    first = next(lines, "")
    delimiter = max(DELIMITERS, key=first.count)
    rows = csv.reader(_chain(first, lines), delimiter=delimiter)
    header = next(rows, [])
    at = [_column(request, header, name) for name in (request.time, *request.values)]
    found = Found(request.values, values=[[] for _ in request.values] if keep else [])
    detectors = [SeriesDetector(alarm_score=request.alarm_score) for _ in request.values]
    each = [f"score:{name}" for name in request.values] if len(request.values) > 1 else []
    try:
        out = request.out.open("w", encoding="utf-8", newline="")
    except OSError as error:
        msg = f"cannot write {request.out}: {error.strerror}"
        raise UserError(msg) from error
    with out:
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        writer.writerow([*header, "score", *each, "alarm"])
        was_open = [False] * len(detectors)
        for row in rows:
            if not row:
                continue
            when = _seconds(request, rows.line_num, row[at[0]] if at[0] < len(row) else "")
            values = [_number(row[place], delimiter) if place < len(row) else math.nan for place in at[1:]]
            scores = [detector.step(when, value) for detector, value in zip(detectors, values, strict=True)]
            are_open = [detector.alarm for detector in detectors]
            texts = [f"{score:.6f}" for score in scores]
            padded = row + [""] * (len(header) - len(row))
            writer.writerow([*padded, max(texts), *(texts if each else ()), int(any(are_open))])
            found.rows += 1
            found.anomalies += any(now and not before for now, before in zip(are_open, was_open, strict=True))
            was_open = are_open
            if keep:
                found.times.append(when)
                found.alarms.append(any(are_open))
                for kept, value in zip(found.values, values, strict=True):
                    kept.append(value)
    return found


def _chain(first: str, lines: Iterable[str]) -> Iterator[str]:
    yield first
    yield from lines


def _column(request: Request, header: list[str], name: str) -> int:
    names = [each.strip() for each in header]
    if name in names:
        return names.index(name)
    msg = f"{request.file} has no column {name!r}"
    raise UserError(msg, f"its columns are {', '.join(names)}" if any(names) else "the file is empty")


def _seconds(request: Request, line: int, text: str) -> float:
    """Seconds since 1970 UTC. Raises UserError."""
    try:
        return seconds_of(text.strip())
    except ValueError as error:
        msg = f"{request.file} line {line}: {text!r} in column {request.time!r} is no time"
        raise UserError(msg, "times are ISO 8601, or seconds or milliseconds since 1970") from error


def seconds_of(text: str) -> float:
    """Seconds since 1970 UTC of a time as people write it. Raises ValueError."""
    try:
        number = float(text)
    except ValueError:
        return _moment(text).timestamp()
    if not math.isfinite(number):
        msg = "not finite"
        raise ValueError(msg)
    for least, parts in EPOCH_STEPS:
        if abs(number) >= least:
            return number / parts
    return number


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _written(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _written(text: str) -> datetime:
    for form in FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    msg = "no known form"
    raise ValueError(msg)


def _number(text: str, delimiter: str) -> float:
    """A value; NaN for what is none: gaps are written in many ways."""
    try:
        return float(text if delimiter == "," else text.replace(",", "."))
    except ValueError:
        return math.nan
