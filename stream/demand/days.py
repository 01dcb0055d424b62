"""Daily demand of every (tenant, site, SKU) as arrays, with the days that say less than they seem. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Key(NamedTuple):
    """What is forecast."""

    tenant: str
    site: str
    sku: str


class Day(NamedTuple):
    """What one day sold. ``empty``: the shelf had nothing at some time; ``ended_empty``: nor at its end."""

    key: Key
    day: date
    units: int
    empty: bool = False
    ended_empty: bool = False


@dataclass(frozen=True)
class DailyDemand:
    """Arrays of shape (series, days); ``known`` from the first day on that a series sold anything.

    ``censored``: out of stock for part of the day or all of it, so demand was at least ``units``.
    """

    keys: tuple[Key, ...]
    first_day: date
    units: Floats
    known: Bools
    censored: Bools


def daily_demand(shelves: Iterable[Day], tills: Iterable[Day], until: date) -> DailyDemand | None:
    """Demand of all days before ``until``; what tills say of a series counts alone. None when nothing was sold.

    A series that tills sell is still censored by its shelf. Returns may outweigh sales: never below 0.
    """
    told = [day for day in tills if day.day < until]
    seen = [day for day in shelves if day.day < until]
    paid = {day.key for day in told}
    sold = told + [day for day in seen if day.key not in paid]
    if not sold:
        return None
    keys = tuple(sorted({day.key for day in sold}))
    first = min(day.day for day in sold)
    shape = (len(keys), (until - first).days)
    place = {key: index for index, key in enumerate(keys)}
    units, censored = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    started = np.full(len(keys), shape[1])
    for day in sold:
        series, column = place[day.key], (day.day - first).days
        units[series, column] = max(day.units, 0)
        started[series] = min(started[series], column)
    for day in sorted(seen, key=lambda one: one.day):
        if day.key in place and day.day >= first:
            series, column = place[day.key], (day.day - first).days
            censored[series, column] = day.empty
            # Until the shelf is heard of again, which overwrites it.
            censored[series, column + 1 :] = day.ended_empty
    known = np.arange(shape[1])[None, :] >= started[:, None]
    return DailyDemand(keys, first, units, known, censored & known)


def weekday_of(first: date) -> int:
    """0 for Monday."""
    return first.weekday()


def day_at(first: date, column: int) -> date:
    """The day of a column."""
    return first + timedelta(days=column)
