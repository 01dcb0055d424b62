"""A shelf controller: bays, thermometer, door counter, uptime, and the faults of the whole device. Pure."""

import math
from dataclasses import dataclass
from random import Random

from simulators.plan import ShelfPlan, Sku, Where
from simulators.shelf_physics import Bay, CellTraits, Thermometer


@dataclass(slots=True)
class Place:
    """A bay with what the plan says of it and who stands before it.

    ``busy_until_s``: until then nobody else reaches in. ``refill_called``: staff has noticed that it is low.
    """

    where: Where
    sku: Sku
    bay: Bay
    busy_until_s: float = -math.inf
    refill_called: bool = False


@dataclass(slots=True)
class Lateness:
    """Answers come ``delay_s`` late until ``until_s``."""

    delay_s: float = 0.0
    until_s: float = -math.inf


class ShelfController:
    """One Modbus unit as the store sees it. ``places`` by bay number from 1; randomness is seeded by ``seed``."""

    def __init__(self, wheres: list[Where], skus: dict[str, Sku], seed: str, at_s: float) -> None:
        assert wheres
        self.plan: ShelfPlan = wheres[0].shelf
        self.gateway = wheres[0].gateway.gateway
        self.places = {where.bay.bay: _place(where, skus[where.bay.sku], seed, at_s) for where in wheres}
        self.thermometer = Thermometer(self.plan.temperature_celsius, Random(f"{seed}/{self.name}/temp"), at_s)
        self.door_openings = 0
        self.lateness = Lateness()
        self._started_s = at_s
        self._dead_until_s = -math.inf

    @property
    def name(self) -> str:
        """``gateway/device``."""
        return f"{self.gateway}/{self.plan.device}"

    def uptime_s(self, at_s: float) -> int:
        """Whole seconds since the controller was switched on."""
        return int(at_s - self._started_s)

    def open_door(self) -> None:
        """Count one opening; shelves without a door count none."""
        if self.plan.door:
            self.door_openings += 1

    def die(self, until_s: float) -> None:
        """Answer nothing until then."""
        self._dead_until_s = until_s

    def is_dead(self, at_s: float) -> bool:
        """Whether it answers nothing at this time."""
        return at_s < self._dead_until_s

    def delay_s(self, at_s: float) -> float:
        """How late its answers come at this time."""
        return self.lateness.delay_s if at_s < self.lateness.until_s else 0.0

    def status_bits(self, at_s: float) -> int:
        """Bit b - 1 is set while bay b is overloaded."""
        return sum(1 << number - 1 for number, place in self.places.items() if place.bay.overloaded(at_s))

    def stick(self, at_s: float, until_s: float) -> None:
        """Freeze all readings."""
        self.thermometer.stick(at_s, until_s)
        for place in self.places.values():
            place.bay.stick(at_s, until_s)


def _place(where: Where, sku: Sku, seed: str, at_s: float) -> Place:
    rng = Random(f"{seed}/{where.gateway.gateway}/{where.slot}")
    shelf = where.shelf
    drift = shelf.drift_g_per_hour * rng.choice((-1.0, 1.0))
    bay = Bay(
        unit_weight_g=sku.unit_weight_g,
        unit_weight_sd_g=sku.unit_weight_sd_g,
        traits=CellTraits(shelf.noise_sd_g, drift, shelf.overload_g),
        rng=rng,
        at_s=at_s,
    )
    bay.put(where.bay.units, at_s)
    return Place(where, sku, bay)
