"""What a planner is asked: how much to order within the limits, and which moves are cheaper than buying. Pure.

The answers are the stream's policies (``stream.policy``), which the worker hands in: the API runs without them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

HANDLING_MINOR: Final = 20
"""What picking a unit at one site and putting it down at another costs, in minor units: our estimate."""
KM_MINOR: Final = 0.5
"""What a unit costs on each kilometre, in minor units: a van at 5.00 a kilometre with a thousand units."""
KM_UNKNOWN: Final = 50.0
"""How far two sites are thought to be from each other while one of them has no coordinates."""
EARTH_KM: Final = 6_371.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Units that are wanted in packs of ``pack``.

    ``minimum``: least units that are ordered at once; ``room``: units that the shelf still holds.
    """

    wanted: int
    pack: int
    minimum: int
    room: int


class Lane(NamedTuple):
    """A way between two sites: minor units a unit."""

    origin: str
    destination: str
    cost_minor: float


class Planned(NamedTuple):
    """Units to move; ``origin`` '' is the supplier."""

    origin: str
    destination: str
    units: int


Moves = Callable[[Mapping[str, int], Mapping[str, int], Sequence[Lane], int], list[Planned]]


@dataclass(frozen=True, slots=True)
class Planner:
    """``fit`` says how many units to order, 0 for none. ``moves`` plans the cheapest moves that end every lack.

    ``moves`` gets spare units by site, lacking ones by site, lanes, and the price of a unit from the supplier.
    """

    fit: Callable[[Need], int]
    moves: Moves


class Point(NamedTuple):
    """Where a site is, in degrees (WGS 84); None where nobody said."""

    lat: float | None
    lon: float | None


def lane_cost_minor(origin: Point, destination: Point) -> float:
    """What moving a unit between two sites costs: handling, and the way as the crow flies (haversine)."""
    return HANDLING_MINOR + KM_MINOR * _distance_km(origin, destination)


@dataclass(frozen=True, slots=True)
class Ways:
    """What moving a unit costs (minor units) by origin and destination: as people said, elsewhere by the distance.

    None is said of ways that are not allowed.
    """

    said: Mapping[tuple[str, str], int | None]
    points: Mapping[str, Point]

    def cost_minor(self, origin: str, destination: str) -> float | None:
        """Cost of a way, None when nothing goes there."""
        if (origin, destination) in self.said:
            return self.said[origin, destination]
        return lane_cost_minor(self.points[origin], self.points[destination])

    def shown_minor(self, origin: str, destination: str) -> int | None:
        """The same for people to read: an estimate weighs ways, and is no amount that anybody owes."""
        cost = self.cost_minor(origin, destination)
        return None if cost is None else round(cost)


def _distance_km(one: Point, other: Point) -> float:
    if one.lat is None or one.lon is None or other.lat is None or other.lon is None:
        return KM_UNKNOWN
    lat, other_lat = math.radians(one.lat), math.radians(other.lat)
    lon = math.radians(other.lon - one.lon)
    half = math.sin((other_lat - lat) / 2) ** 2 + math.cos(lat) * math.cos(other_lat) * math.sin(lon / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, half)))
