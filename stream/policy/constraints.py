"""What may really be ordered: packs, minimum orders, shelves, shelf life, budget and truck. Pure; solved by HiGHS.

A mixed-integer program over all lines of one supplier's order: as much of the wanted value as the limits allow.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

TIME_LIMIT_S: Final = 10.0


@dataclass(frozen=True)
class Line:
    """A wanted refill. ``wanted`` units, worth ``value`` money each to have; packs of ``pack`` units.

    ``minimum``: least units that the supplier sends, when any; ``room``: units that the shelf still holds;
    ``sells``: units that sell before they expire; ``price`` money and ``volume`` (any one measure) a unit.
    """

    wanted: int
    value: float
    pack: int = 1
    minimum: int = 0
    room: int = 1_000_000
    sells: int = 1_000_000
    price: float = 0.0
    volume: float = 0.0


@dataclass(frozen=True)
class Limits:
    """Limits of the whole order: money and volume; None for none."""

    budget: float | None = None
    truck: float | None = None


class NoSolutionError(Exception):
    """The solver found none in its time."""


def fit(lines: list[Line], limits: Limits) -> list[int]:
    """Units to order of each line: whole packs, nothing beyond what is wanted rounded up to a pack.

    Raises NoSolutionError; ordering nothing is always allowed, so that only happens when the solver runs out of time.
    """
    if not lines:
        return []
    count = len(lines)
    most = np.array([_packs_most(line) for line in lines], dtype=np.float64)
    least = np.array([-(-line.minimum // line.pack) for line in lines], dtype=np.float64)
    most = np.where(least > most, 0.0, most)
    units = np.array([line.pack for line in lines], dtype=np.float64)
    values = np.array([line.value for line in lines])
    # Variables: packs of each line, units of them that were wanted, and whether there are any.
    nothing, eye = np.zeros((count, count)), np.eye(count)
    rows = [
        LinearConstraint(np.hstack([-np.diag(units), eye, nothing]), ub=0.0),
        LinearConstraint(np.hstack([eye, nothing, -np.diag(most)]), ub=0.0),
        LinearConstraint(np.hstack([eye, nothing, -np.diag(least)]), lb=0.0),
    ]
    zeros = np.zeros(count)
    for limit, share in ((limits.budget, [line.price for line in lines]), (limits.truck, [ln.volume for ln in lines])):
        if limit is not None:
            rows.append(LinearConstraint(np.concatenate([units * share, zeros, zeros])[None, :], ub=limit))
    # Of equal worth the fewest packs.
    tie = 1e-6 * max(float(values.max()), 1e-6)
    found = milp(
        np.concatenate([tie * units, -values, zeros]),
        integrality=np.concatenate([np.ones(count), zeros, np.ones(count)]),
        bounds=Bounds(0.0, np.concatenate([most, [line.wanted for line in lines], np.ones(count)])),
        constraints=rows,
        options={"time_limit": TIME_LIMIT_S},
    )
    if found.x is None:
        message = f"no order within the limits: {found.message}"
        raise NoSolutionError(message)
    return [round(packs) * line.pack for packs, line in zip(found.x[:count], lines, strict=True)]


def _packs_most(line: Line) -> int:
    """Most packs of a line that make sense: what is wanted rounded up, within the shelf and the shelf life."""
    wanted = -(-max(line.wanted, line.minimum if line.wanted > 0 else 0) // line.pack)
    return max(min(wanted, min(line.room, line.sells) // line.pack), 0)
