"""The plan of ``simulate store``: which shelves stand where, who shops there, and what goes wrong when.

One JSON object, unknown keys refused. The shortest useful plan::

    {"tenant": "acme", "seed": 7,
     "skus": [{"sku": "cola-330", "unit_weight_g": 345.0}],
     "stores": [{"site": "store1", "shoppers_per_hour": 60,
                 "gateways": [{"gateway": "gw1", "port": 15020,
                               "shelves": [{"device": "s01", "unit": 1,
                                            "bays": [{"bay": 1, "sku": "cola-330", "units": 20, "capacity": 24}]}]}]}],
     "story": [{"kind": "rush", "at_s": 20, "sku": "cola-330", "factor": 8, "for_s": 60},
               {"kind": "theft", "at_s": 60, "place": "gw1/s01-b1", "units": 6}]}

The actions of a story are in ``simulators.story``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from contracts.errors import UserError
from contracts.ids import Identifier
from simulators.story import (
    AnyAction,
    Dead,
    Drift,
    NotNegative,
    Positive,
    Restock,
    Rush,
    SkuName,
    Slow,
    Spike,
    Stuck,
    Theft,
    Warm,
)

UNIT_MAX: Final = 247
BAYS_MAX: Final = 16
PLAN_MAX_BYTES: Final = 8 * 1024 * 1024
STORY_MAX: Final = 10_000

FLAT_DAY: Final = (1.0,) * 24
RETAIL_DAY: Final = (
    0.1, 0.05, 0.02, 0.02, 0.05, 0.2, 0.6, 1.1, 1.2, 1.0, 1.0, 1.3,
    1.6, 1.2, 0.9, 0.9, 1.1, 1.6, 2.0, 1.9, 1.5, 1.0, 0.6, 0.3,
)  # fmt: skip
"""Share of shoppers by local hour of a convenience store, relative to its mean hour."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Sku(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An article. ``popularity`` is its share of picks relative to the other articles of a store."""

    sku: SkuName
    unit_weight_g: Positive
    unit_weight_sd_g: NotNegative = 1.0
    popularity: NotNegative = 1.0


class BayPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place on a shelf with one load cell: ``bay`` counts from 1; ``slot`` is ``{device}-b{bay}`` unless given.

    ``units`` lie there at the start, at most ``capacity``.
    """

    bay: Annotated[int, msgspec.Meta(ge=1, le=BAYS_MAX)]
    sku: SkuName
    units: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    capacity: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    slot: Identifier | None = None


class ShelfPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shelf controller: one Modbus unit with up to 16 bays, a thermometer and a door counter.

    ``noise_sd_g`` of a single reading, ``drift_g_per_hour`` of each cell (random sign), ``temperature_celsius`` at
    rest, ``door``: whether shoppers open a door before they pick (a cooler).
    """

    device: Identifier
    unit: Annotated[int, msgspec.Meta(ge=1, le=UNIT_MAX)]
    bays: Annotated[tuple[BayPlan, ...], msgspec.Meta(min_length=1, max_length=BAYS_MAX)]
    noise_sd_g: NotNegative = 10.0
    drift_g_per_hour: NotNegative = 0.5
    temperature_celsius: Annotated[float, msgspec.Meta(ge=-50, le=80)] = 21.0
    door: bool = False
    overload_g: Positive = 50_000.0


class GatewayPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TCP port behind which the shelves of one gateway answer. Port 0: any free one, told when listening."""

    gateway: Identifier
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    shelves: Annotated[tuple[ShelfPlan, ...], msgspec.Meta(min_length=1, max_length=UNIT_MAX)]


class Staff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who refills: a bay at ``below`` of its capacity or less for ``after_s`` is filled within ``takes_s``."""

    below: Share = 0.2
    after_s: NotNegative = 120.0
    takes_s: Positive = 20.0


class Habits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How shoppers behave: ``picks`` are the weights of 1, 2, 3 … units; shares are of picks.

    A put-back follows within ``put_back_within_s``. A mixed pick lays its article on another bay of the shelf.
    """

    picks: Annotated[tuple[NotNegative, ...], msgspec.Meta(min_length=1, max_length=20)] = (0.7, 0.22, 0.08)
    put_back: Share = 0.06
    put_back_within_s: Positive = 20.0
    mixed: Share = 0.01
    bump: Share = 0.1


class StorePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A site. ``shoppers_per_hour`` is the mean rate; ``hourly`` its factors by local hour (see ``RETAIL_DAY``)."""

    site: Identifier
    gateways: Annotated[tuple[GatewayPlan, ...], msgspec.Meta(min_length=1, max_length=1_000)]
    shoppers_per_hour: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 60.0
    hourly: Annotated[tuple[NotNegative, ...], msgspec.Meta(min_length=24, max_length=24)] = FLAT_DAY
    utc_offset_h: Annotated[float, msgspec.Meta(ge=-12, le=14)] = 8.0
    staff: Staff | None = Staff()
    habits: Habits = Habits()


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that one simulator process plays. The same seed and times give the same shoppers."""

    tenant: Identifier
    skus: Annotated[tuple[Sku, ...], msgspec.Meta(min_length=1, max_length=10_000)]
    stores: Annotated[tuple[StorePlan, ...], msgspec.Meta(min_length=1, max_length=1_000)]
    seed: int = 0
    host: str = "127.0.0.1"
    story: Annotated[tuple[AnyAction, ...], msgspec.Meta(max_length=STORY_MAX)] = ()


class Where(msgspec.Struct, frozen=True):
    """A bay and all that it stands in."""

    store: StorePlan
    gateway: GatewayPlan
    shelf: ShelfPlan
    bay: BayPlan

    @property
    def slot(self) -> str:
        """Name of the slot, unique within its gateway."""
        return slot_of(self.shelf, self.bay)


def slot_of(shelf: ShelfPlan, bay: BayPlan) -> str:
    """Slot (and device) name of a bay: as the plan says, else ``s01-b1``."""
    return bay.slot or f"{shelf.device}-b{bay.bay}"


def bays(plan: Plan) -> Iterator[Where]:
    """All bays of a plan, in its order."""
    for store in plan.stores:
        for gateway in store.gateways:
            for shelf in gateway.shelves:
                for bay in shelf.bays:
                    yield Where(store, gateway, shelf, bay)


_DECODER: Final = msgspec.json.Decoder(Plan)


def parse(payload: bytes) -> Plan:
    """Read and check a plan. Raises UserError that names the place of the mistake."""
    try:
        plan = _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        msg = f"not a plan: {error}"
        raise UserError(msg, "simulators/plan.py documents the format") from error
    for problem in _problems(plan):
        msg = f"plan: {problem}"
        raise UserError(msg)
    return plan


def load(path: Path) -> Plan:
    """Read the plan in a file. Raises UserError."""
    try:
        payload = path.read_bytes()
    except OSError as error:
        msg = f"cannot read the plan {path}: {error.strerror}"
        raise UserError(msg) from error
    if len(payload) > PLAN_MAX_BYTES:
        msg = f"the plan {path} has {len(payload)} bytes, more than {PLAN_MAX_BYTES}"
        raise UserError(msg)
    return parse(payload)


def encode(plan: Plan) -> bytes:
    """JSON of a plan, for a file."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1)


def _problems(plan: Plan) -> Iterator[str]:
    skus = [sku.sku for sku in plan.skus]
    yield from _twice("SKU", skus)
    yield from _twice("site", [store.site for store in plan.stores])
    gateways = [gateway for store in plan.stores for gateway in store.gateways]
    yield from _twice("gateway", [gateway.gateway for gateway in gateways])
    yield from _twice("port", [str(gateway.port) for gateway in gateways if gateway.port])
    for gateway in gateways:
        yield from _twice(f"unit of {gateway.gateway}:", [str(shelf.unit) for shelf in gateway.shelves])
        yield from _twice(f"device of {gateway.gateway}:", [shelf.device for shelf in gateway.shelves])
        for shelf in gateway.shelves:
            yield from _twice(f"bay of {gateway.gateway}/{shelf.device}:", [str(bay.bay) for bay in shelf.bays])
    for store in plan.stores:
        if sum(store.habits.picks) <= 0:
            yield f"{store.site}: habits.picks must not all be 0"
    known = set(skus)
    slots: dict[str, list[str]] = {}
    for where in bays(plan):
        slots.setdefault(where.gateway.gateway, []).append(where.slot)
        if where.bay.sku not in known:
            yield f"{where.gateway.gateway}/{where.slot}: SKU {where.bay.sku!r} is not among skus"
        if where.bay.units > where.bay.capacity:
            yield f"{where.gateway.gateway}/{where.slot}: {where.bay.units} units exceed capacity {where.bay.capacity}"
    for name, names in slots.items():
        yield from _twice(f"slot of {name}:", names)
    yield from _story_problems(plan)


def _story_problems(plan: Plan) -> Iterator[str]:
    slots = {f"{where.gateway.gateway}/{where.slot}" for where in bays(plan)}
    devices = {f"{where.gateway.gateway}/{where.shelf.device}" for where in bays(plan)}
    skus = {sku.sku for sku in plan.skus}
    sites = {store.site for store in plan.stores}
    for number, action in enumerate(plan.story):
        name = f"story[{number}] ({type(action).__name__.lower()})"
        match action:
            case Theft(place=place) | Drift(place=place) if place not in slots:
                yield f"{name}: no slot {place!r}"
            case Warm(place=place) | Dead(place=place) | Slow(place=place) if place not in devices:
                yield f"{name}: no device {place!r}"
            case Spike(place=place) | Stuck(place=place) if place not in slots | devices:
                yield f"{name}: no slot or device {place!r}"
            case Restock(place=str(place)) if place not in slots:
                yield f"{name}: no slot {place!r}"
            case Restock(sku=sku, site=site) | Rush(sku=sku, site=site):
                if sku is not None and sku not in skus:
                    yield f"{name}: no SKU {sku!r}"
                if site is not None and site not in sites:
                    yield f"{name}: no site {site!r}"
            case _:
                pass


def _twice(what: str, names: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{what} {name} stands twice"
        seen.add(name)
