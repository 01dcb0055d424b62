"""What goes wrong, and what people do, at a given time of a plan: the ``story``.

Times are seconds after the simulator began to listen. Places are written as anomalies write them:
``gateway/device`` (a controller: ``gw1/s01``) or ``gateway/slot`` (a bay: ``gw1/s01-b1``).
"""

from typing import Annotated

import msgspec

from contracts.ids import Identifier

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
SkuName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Place = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}/[a-z0-9][a-z0-9_-]{0,31}\Z")]


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower, kw_only=True):
    """Something that happens ``at_s`` seconds after the start."""

    at_s: NotNegative


class Spike(Action, frozen=True):
    """One impossible reading of a bay's weight (place: slot, grams) or of a controller's temperature (device, °C)."""

    place: Place
    value: float


class Rush(Action, frozen=True):
    """Demand for one SKU times ``factor`` for a while, at one site or, without one, at all."""

    sku: SkuName
    factor: Positive
    for_s: Positive
    site: Identifier | None = None


class Restock(Action, frozen=True):
    """People fill bays to capacity within ``takes_s``: those of a slot, a SKU, a site, or of what all given match."""

    place: Place | None = None
    sku: SkuName | None = None
    site: Identifier | None = None
    takes_s: Positive = 20.0


class Theft(Action, frozen=True):
    """Units leave a slot in one sweep; all of them unless ``units`` are given."""

    place: Place
    units: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Stuck(Action, frozen=True):
    """A bay's weight (slot), or all readings of a controller (device), freeze for a while."""

    place: Place
    for_s: Positive


class Warm(Action, frozen=True):
    """A controller's temperature creeps to ``to_celsius`` (95 % of the way within ``rise_s``), and back after it."""

    place: Place
    to_celsius: Annotated[float, msgspec.Meta(ge=-50, le=80)]
    for_s: Positive
    rise_s: Positive = 30.0


class Drift(Action, frozen=True):
    """A bay's cell creeps by ``g_per_hour`` for a while; what crept stays until the bay is tared."""

    place: Place
    g_per_hour: float
    for_s: Positive


class Dead(Action, frozen=True):
    """A controller (device) does not answer for a while."""

    place: Place
    for_s: Positive


class Slow(Action, frozen=True):
    """A controller (device) answers ``delay_s`` late for a while."""

    place: Place
    delay_s: Positive
    for_s: Positive


AnyAction = Spike | Rush | Restock | Theft | Stuck | Warm | Drift | Dead | Slow
