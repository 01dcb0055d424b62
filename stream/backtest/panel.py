"""A file of demand as arrays over series and periods. Pure.

Rows of the arrays are series in the order of their names; columns are periods of equal length, so a period that a
series leaves out between its first and last is there, and not known.
"""

import csv
import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.errors import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CELLS_MAX: Final = 50_000_000
OPENING_PERIODS: Final = 8
MONTH_DAYS_MIN: Final = 28
COLUMNS: Final = ("series", "period", "units")


@dataclass(frozen=True)
class Panel:
    """Demand of many series. ``units``, ``known`` and ``promo`` have shape (series, periods).

    ``units`` is 0 where not known; ``promo`` NaN where no plan is told, None without the column. ``first`` and
    ``last``: columns of each series' first and last known period. ``days``: length of a period, None when periods are
    numbers.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...] | tuple[date, ...]
    units: Floats
    known: Bools
    promo: Floats | None
    days: int | None

    @property
    def first(self) -> Ints:
        """Column of the first known period of each series."""
        first: Ints = self.known.argmax(axis=1)
        return first

    @property
    def last(self) -> Ints:
        """Column of the last known period of each series."""
        last: Ints = self.known.shape[1] - 1 - self.known[:, ::-1].argmax(axis=1)
        return last

    @property
    def opening(self) -> Floats:
        """Opening stock: twice the mean of the first known periods, rounded up to a whole unit."""
        early = self.known & (self.known.cumsum(axis=1) <= OPENING_PERIODS)
        mean = (self.units * early).sum(axis=1) / early.sum(axis=1)
        stock: Floats = np.ceil(2 * mean - 1e-9)
        return stock

    def counted(self, from_period: str | None) -> Bools:
        """Known periods whose label is at least ``from_period``. Raises UserError when it is no label of the file."""
        if from_period is None:
            return self.known
        if self.days is None:
            at_least = [label >= _number(from_period) for label in self.labels if isinstance(label, int)]
        else:
            at_least = [label >= _day(from_period) for label in self.labels if isinstance(label, date)]
        counted: Bools = self.known & np.array(at_least, dtype=np.bool_)
        if not counted.any():
            message = f"no period of the file is at least {from_period}"
            raise UserError(message, f"its last one is {self.labels[-1]}")
        return counted


class _Row(NamedTuple):
    line: int
    series: str
    period: str
    units: float
    promo: float


def parse(text: str) -> Panel:
    """Read ``series,period,units[,promo]``. Raises UserError that names the first wrong line."""
    rows, has_promo = _rows(text)
    names = tuple(sorted({row.series for row in rows}))
    labels, columns, days = _periods(rows)
    if len(names) * len(labels) > CELLS_MAX:
        message = f"{len(names)} series of {len(labels)} periods are more than {CELLS_MAX} cells"
        raise UserError(message, "periods are whole numbers that grow by 1, or dates")
    shape = (len(names), len(labels))
    units, known = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    promo = np.full(shape, np.nan)
    place = {name: index for index, name in enumerate(names)}
    for row, column in zip(rows, columns, strict=True):
        at = place[row.series], column
        if known[at]:
            raise _wrong(row.line, f"series {row.series!r} has period {row.period} already")
        known[at], units[at], promo[at] = True, row.units, row.promo
    return Panel(names, labels, units, known, promo if has_promo else None, days)


def _rows(text: str) -> tuple[list[_Row], bool]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        names = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        for name in COLUMNS:
            if name not in names:
                message = f"the file has no column {name}"
                raise UserError(message, "its header is series,period,units[,promo]")
        rows = [_row(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise _wrong(reader.line_num, f"not CSV: {error}") from error
    if not rows:
        message = "the file has no rows"
        raise UserError(message)
    return rows, "promo" in names


def _row(line: int, cells: dict[str, str | None]) -> _Row:
    series, period = (cells["series"] or "").strip(), (cells["period"] or "").strip()
    if not series or not period:
        raise _wrong(line, "series and period are needed")
    units = _float(line, "units", cells["units"])
    if math.isnan(units) or units < 0:
        raise _wrong(line, "units must be a number of at least 0")
    return _Row(line, series, period, units, _float(line, "promo", cells.get("promo")))


def _float(line: int, column: str, cell: str | None) -> float:
    """The number in a cell, NaN for an empty one."""
    if cell is None or not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError as error:
        raise _wrong(line, f"{column} {cell.strip()[:40]!r} is no number") from error
    if not math.isfinite(value):
        raise _wrong(line, f"{column} {cell.strip()[:40]!r} is no number")
    return value


def _periods(rows: list[_Row]) -> tuple[tuple[int, ...] | tuple[date, ...], list[int], int | None]:
    """Labels of all periods, the column of each row, and the length of a period in days (None: numbers)."""
    try:
        numbers = [int(row.period) for row in rows]
    except ValueError:
        return _dates(rows)
    low, high = min(numbers), max(numbers)
    if high - low > CELLS_MAX:
        message = f"periods from {low} to {high} are too many"
        raise UserError(message, "periods are whole numbers that grow by 1, or dates")
    return tuple(range(low, high + 1)), [number - low for number in numbers], None


def _dates(rows: list[_Row]) -> tuple[tuple[date, ...], list[int], int]:
    days = []
    for row in rows:
        try:
            days.append(date.fromisoformat(row.period))
        except ValueError as error:
            raise _wrong(
                row.line, f"period {row.period!r} is neither a whole number nor a date (2026-01-31)"
            ) from error
    known = sorted(set(days))
    gaps = [(later - earlier).days for earlier, later in pairwise(known)]
    step = reduce(math.gcd, gaps, 0) or 1
    if gaps and step < MONTH_DAYS_MIN <= min(gaps):
        # Months have no common length in days.
        months = [day.year * 12 + day.month - 1 for day in days]
        low = min(months)
        labels = tuple(_month(number) for number in range(low, max(months) + 1))
        return labels, [month - low for month in months], 30
    count = (known[-1] - known[0]).days // step + 1
    labels = tuple(known[0] + timedelta(days=step * index) for index in range(count))
    return labels, [(day - known[0]).days // step for day in days], step


def _month(number: int) -> date:
    """The last day of a month, so that any day of it counts from a `--from-period` in it."""
    following = number + 1
    return date(following // 12, following % 12 + 1, 1) - timedelta(days=1)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        message = f"--from-period {text!r} is no whole number, as the periods of the file are"
        raise UserError(message) from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        message = f"--from-period {text!r} is no date, as the periods of the file are"
        raise UserError(message, "it looks like 2026-01-31") from error


def _wrong(line: int, text: str) -> UserError:
    return UserError(f"line {line}: {text}")
