"""What units are worth as they move: moving average, in whole minor units. Pure.

A place gives units away at its average value, the last one with all that is left, so that no value stays where nothing
lies. What arrives brings the value that left elsewhere; from outside it brings the cost that was told, or the average
of where it arrives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from platform_api.kit.money import portion, share_out

Place = tuple[str, str]
"""Location and SKU."""


@dataclass(frozen=True, slots=True)
class Leg:
    """Units that a place gains, or loses (negative), of one lot or of none."""

    location: str
    sku: str
    units: int
    lot_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """What a physical place has of a SKU."""

    on_hand: int
    value_minor: int

    def worth(self, units: int) -> int:
        """Value of ``units`` at the average, all of it for the last one; 0 where nothing lies."""
        if self.on_hand <= 0:
            return 0
        return portion(self.value_minor, min(units, self.on_hand), self.on_hand)


def is_balanced(legs: Sequence[Leg]) -> bool:
    """Whether what some places lose is what others gain, SKU by SKU."""
    sums: dict[str, int] = {}
    for leg in legs:
        sums[leg.sku] = sums.get(leg.sku, 0) + leg.units
    return bool(legs) and all(total == 0 for total in sums.values()) and all(leg.units for leg in legs)


def value_legs(
    legs: Sequence[Leg], holdings: Mapping[Place, Holding], told_minor: Mapping[str, int] | None = None
) -> list[int]:
    """Value that each leg gains (negative: loses), 0 in sum for each SKU.

    ``holdings`` are those of the physical places before the move; a place without one is outside. ``told_minor`` is
    the cost by SKU of what comes from outside.
    """
    assert is_balanced(legs)
    told = told_minor or {}
    values = [0] * len(legs)
    for sku in {leg.sku for leg in legs}:
        losing = [index for index, leg in enumerate(legs) if leg.sku == sku and leg.units < 0]
        gaining = [index for index, leg in enumerate(legs) if leg.sku == sku and leg.units > 0]
        outside = [index for index in losing if (legs[index].location, sku) not in holdings]
        inside = [index for index in losing if index not in outside]
        total = 0
        for place in {legs[index].location for index in inside}:
            of_place = [index for index in inside if legs[index].location == place]
            units = [-legs[index].units for index in of_place]
            worth = holdings[place, sku].worth(sum(units))
            for index, part in zip(of_place, share_out(worth, units), strict=True):
                values[index] = -part
            total += worth
        if outside:
            units = [-legs[index].units for index in outside]
            worth = told[sku] if sku in told else _average_at(legs, gaining, holdings, sum(units))
            for index, part in zip(outside, share_out(worth, units), strict=True):
                values[index] = -part
            total += worth
        for index, part in zip(gaining, share_out(total, [legs[index].units for index in gaining]), strict=True):
            values[index] = part
    return values


def _average_at(legs: Sequence[Leg], gaining: Sequence[int], holdings: Mapping[Place, Holding], units: int) -> int:
    for index in gaining:
        holding = holdings.get((legs[index].location, legs[index].sku))
        if holding is not None and holding.on_hand > 0:
            return portion(holding.value_minor, units, holding.on_hand)
    return 0
