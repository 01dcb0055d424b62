"""What a desired configuration may look like, as far as the platform can know. Pure.

The agent checks it again, with all that it knows of its profiles and registers; here a mistake is found while the
person who made it is still there. Tables and keys that are not named below are the agent's to judge.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.commands import DOWN_MAX_BYTES, canonical
from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.errors import FieldProblem

CONFIG_MAX_BYTES: Final = DOWN_MAX_BYTES - 1_024
"""Room for version and hash beside it, within one message."""
DEPTH_MAX: Final = 8
BUSES_MAX: Final = 64
DEVICES_MAX: Final = 1_000
SLOTS_MAX: Final = 10_000
PROBLEMS_MAX: Final = 20
LOCAL_ONLY: Final = ("tenant", "site", "gateway", "broker", "outbox", "remote", "drain_s")
"""Who the gateway is, where it sends, what it keeps and whom it obeys: a mistake could not be mended from afar."""

Name = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Report(_Table):
    heartbeat_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = 10.0
    frame_readings: Annotated[int, Field(ge=1, le=1_000)] = 50
    frame_ms: Annotated[int, Field(ge=10, le=60_000)] = 250


class _Bus(_Table):
    name: Name
    timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 1.0


class _Device(_Table):
    name: Name
    bus: Name
    unit: Annotated[int, Field(ge=1, le=247)]
    period_s: Annotated[float | None, Field(gt=0.0, le=86_400.0)] = None


class _Tables(_Table):
    report: _Report = _Report()
    bus: Annotated[list[_Bus], Field(max_length=BUSES_MAX)] = []
    device: Annotated[list[_Device], Field(max_length=DEVICES_MAX)] = []
    slots: Annotated[list[dict[str, Any]], Field(max_length=SLOTS_MAX)] = []


def faults(config: dict[str, Any]) -> list[FieldProblem]:
    """What is wrong with a configuration; empty when it may be sent."""
    if _depth(config) > DEPTH_MAX:
        return [FieldProblem(where="body.config", message=f"nested deeper than {DEPTH_MAX}")]
    size = len(canonical(config))
    if size > CONFIG_MAX_BYTES:
        return [FieldProblem(where="body.config", message=f"{size} bytes are over {CONFIG_MAX_BYTES}")]
    found = [
        FieldProblem(where=f"body.config.{key}", message="is set at the gateway, never from afar")
        for key in LOCAL_ONLY
        if key in config
    ]
    try:
        tables = _Tables.model_validate(config)
    except ValidationError as error:
        return found + [
            FieldProblem(where=".".join(("body.config", *map(str, one["loc"])))[:200], message=one["msg"][:300])
            for one in error.errors(include_url=False, include_input=False)[:PROBLEMS_MAX]
        ]
    return (found + list(_clashes(tables)))[:PROBLEMS_MAX]


def _clashes(tables: _Tables) -> Iterable[FieldProblem]:
    yield from _twice("bus", "name", (bus.name for bus in tables.bus))
    yield from _twice("device", "name", (device.name for device in tables.device))
    yield from _twice("device", "unit on its bus", (f"{device.bus}/{device.unit}" for device in tables.device))
    buses = {bus.name for bus in tables.bus}
    for position, device in enumerate(tables.device):
        if buses and device.bus not in buses:
            yield FieldProblem(where=f"body.config.device.{position}.bus", message=f"no bus is named {device.bus!r}")


def _twice(table: str, key: str, values: Iterable[str]) -> Iterable[FieldProblem]:
    for value, count in Counter(values).items():
        if count > 1:
            yield FieldProblem(where=f"body.config.{table}", message=f"{key} {value!r} is there twice")


def _depth(value: object) -> int:
    """Levels of objects and lists, by breadth, so that no nesting is too deep to measure."""
    level, depth = [value], 0
    while level and depth <= DEPTH_MAX:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth
