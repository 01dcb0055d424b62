"""The slots file: which channel weighs which article. Read by the agent, and by the platform's import."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import UserError
from contracts.ids import CHANNEL_PATTERN
from contracts.topics import GatewayAddress
from edge_agent.tables import Name, key_of

SLOTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on a shelf: which channel weighs it, and what lies there (weights in grams)."""

    name: str
    channel: str
    sku: str
    unit_weight_g: float
    unit_weight_sd_g: float
    capacity: int


SLOT_COLUMNS: Final = ("slot", "channel", "sku", "unit_weight_g", "unit_weight_sd_g", "capacity")


class _SlotRow(BaseModel):
    model_config = ConfigDict(extra="ignore")

    slot: Name
    channel: Annotated[str, Field(pattern=CHANNEL_PATTERN)]
    sku: Annotated[str, Field(min_length=1, max_length=64)]
    unit_weight_g: Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]
    unit_weight_sd_g: Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)] = 0.0
    capacity: Annotated[int, Field(ge=1, le=100_000)]


def read_slots(path: Path, address: GatewayAddress, channels: set[str]) -> list[Slot]:
    """Slots of this gateway; rows of other gateways are passed over. Raises UserError with the line.

    ``channels`` are those that the devices have: a slot on another one would never see a weight.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read slots from {path}: {error}"
        raise UserError(msg) from error
    reader = csv.DictReader(text.splitlines())
    missing = [column for column in SLOT_COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        msg = f"{path}, line 1: column {', '.join(missing)} is missing"
        raise UserError(msg)
    own = address._asdict().items()
    rows = [(f"{path}, line {reader.line_num}", row) for row in reader if all(row.get(k, v) == v for k, v in own)]
    return check_slots(path, rows, channels)


def check_slots(source: object, rows: Iterable[tuple[str, Mapping[str, Any]]], channels: set[str]) -> list[Slot]:
    """Slots of rows, each with what names it in an error. Raises UserError."""
    slots: dict[str, Slot] = {}
    seen: set[str] = set()
    for where, row in rows:
        slot = _slot(row, where)
        if slot.name in slots or slot.channel in seen:
            msg = f"{where}: slot {slot.name!r} or its channel {slot.channel!r} is there twice"
            raise UserError(msg)
        if slot.channel not in channels:
            msg = f"{where}: no device of this gateway has channel {slot.channel!r}"
            raise UserError(msg, "bay 1 of shelf s01 is s01-b1.weight_g")
        slots[slot.name] = slot
        seen.add(slot.channel)
    if len(slots) > SLOTS_MAX:
        msg = f"{source}: {len(slots)} slots are over {SLOTS_MAX}"
        raise UserError(msg)
    return list(slots.values())


def _slot(row: Mapping[str, Any], where: str) -> Slot:
    try:
        valid = _SlotRow.model_validate({key: value for key, value in row.items() if value not in ("", None)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"{where}: {key_of(first['loc'])}: {first['msg'].lower()}"
        raise UserError(msg) from error
    return Slot(valid.slot, valid.channel, valid.sku, valid.unit_weight_g, valid.unit_weight_sd_g, valid.capacity)
