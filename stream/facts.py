"""What moves through the dataflow: chunks of what came in, facts of what is to be committed.

Nothing here has behaviour. Columns are numpy arrays of equal length, one entry a reading; a frame owns the slice
``lo:hi`` of its chunk's columns, so that no reading is ever an object of its own.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from contracts.facts import AnomalyKind
from contracts.frames import Answer, Event, Gap, Previous, Reason
from contracts.presence import Presence
from contracts.topics import GatewayAddress, Lane


class Message(NamedTuple):
    """One MQTT message as it came. ``received_ms`` is our clock's, ms since 1970 UTC."""

    topic: str
    payload: bytes
    received_ms: int


class LaneId(NamedTuple):
    """A lane of one gateway; its watermark and its incarnation are kept under this key."""

    tenant: str
    gateway: str
    lane: Lane


class Origin(Enum):
    """Where a late frame waited."""

    UNSYNCED = auto()
    """For an anchor of its boot's clock."""
    QUARANTINE = auto()
    """For somebody who said: try it again."""


class LateFrame(NamedTuple):
    """A message that was settled, or sampled, earlier, and comes back from the database.

    ``row`` is its number in the table of its origin; ``seq`` None when it has no settled place in a lane. ``expired``:
    it has waited for an anchor for long enough.
    """

    origin: Origin
    row: int
    tenant: str
    gateway: str
    lane: str
    ep: str
    seq: int | None
    message: Message
    expired: bool = False


class LateBatch(NamedTuple):
    """Late frames that one epoch takes up."""

    frames: list[LateFrame]


class Tick(NamedTuple):
    """Time has passed."""


Item = list[Message] | LateBatch | Tick
"""What the source emits: messages in order of receipt, late frames, or that time has passed."""


class ChannelSet(NamedTuple):
    """Channels of a gateway whose series are asked for, in the order in which a frame names them."""

    tenant: str
    gateway: str
    channels: tuple[str, ...]


class Fault(NamedTuple):
    """Why a message brings no facts."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class Columns:
    """Readings: time in µs since 1970 UTC, series, value, quality; shapes (n,)."""

    time_us: npt.NDArray[np.int64]
    series: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int16]

    def __len__(self) -> int:
        """Number of readings."""
        return len(self.time_us)

    def take(self, index: "npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice") -> "Columns":
        """The readings of a mask, of places, or a slice."""
        return Columns(self.time_us[index], self.series[index], self.value[index], self.quality[index])


def no_columns() -> Columns:
    """Zero readings."""
    return Columns(
        np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float64), np.empty(0, np.int16)
    )  # fmt: skip


def join_columns(parts: list[Columns]) -> Columns:
    """Readings of all parts, in order."""
    if not parts:
        return no_columns()
    if len(parts) == 1:
        return parts[0]
    return Columns(
        np.concatenate([part.time_us for part in parts]),
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


@dataclass(slots=True)
class Arrival:
    """A message with a place in a lane, before it is judged; ``lane`` None: it comes back, and has none.

    ``fault``: the body is unusable, the place counts. ``lo:hi`` are its readings in the chunk's columns.
    """

    message: Message
    address: GatewayAddress
    lane: Lane | None
    ep: str
    seq: int
    digest: int
    t0_ms: int
    sync: bool
    boot: str
    mono_ms: int
    lo: int = 0
    hi: int = 0
    gap: Gap | None = None
    fault: Fault | None = None
    events: tuple[Event, ...] = ()
    answers: tuple[Answer, ...] = ()
    prev: Previous | None = None
    late: LateFrame | None = None
    timed: bool = True
    """False: nobody knows the time of its entries yet."""


class Bundle(NamedTuple):
    """Plain messages of one gateway in order of receipt; message n brought ``counts[n]`` readings in a row."""

    messages: list[Message]
    counts: list[int]


@dataclass(slots=True)
class PlainRun:
    """The plain readings of one gateway in a chunk: they have no place in a lane, so nothing of them is judged.

    ``once``: they carry a time, and count once for the same series, time and value. ``lo:hi`` in the chunk's columns.
    """

    address: GatewayAddress
    bundle: Bundle
    once: bool
    lo: int
    hi: int


class Stray(NamedTuple):
    """A message without a place: it is not settled, a sample of it is kept. Names are '' when unreadable."""

    message: Message
    tenant: str
    gateway: str
    fault: Fault


class Sighting(NamedTuple):
    """A presence and whose it is."""

    address: GatewayAddress
    presence: Presence
    received_ms: int


@dataclass(slots=True)
class Chunk:
    """What one batch of messages brought to one bucket, in order of receipt; plain readings behind all others.

    ``listening_since``: of a chunk that only says that time has passed; since when all that was sent has been heard.
    """

    bucket: int
    columns: Columns
    arrivals: list[Arrival] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    plain: list[PlainRun] = field(default_factory=list)
    listening_since: datetime | None = None


class EventRow(NamedTuple):
    """A row of shelf_event."""

    tenant: str
    gateway: str
    event_id: str
    time: datetime
    site: str
    slot: str
    sku: str
    kind: str
    units: int
    delta_g: float
    confidence: float
    on_shelf: int | None
    of_event: str
    why: str
    other: dict[str, int]
    synced: bool
    lane_seq: int


class PositionRow(NamedTuple):
    """A row of shelf_position: units on a slot after the newest event of its lane."""

    tenant: str
    gateway: str
    slot: str
    site: str
    sku: str
    on_shelf: int
    as_of: datetime


class AnomalyRow(NamedTuple):
    """A row of anomaly. ``place_kind``: series, slot, device or gateway."""

    anomaly_id: UUID
    tenant: str
    site: str
    gateway: str
    kind: AnomalyKind
    place_kind: str
    place: str
    start: datetime
    end: datetime | None
    detected: datetime
    severity: float
    score: float
    evidence: dict[str, Any]


class ProposalRow(NamedTuple):
    """A row of proposal, as the stream makes it."""

    proposal_id: UUID
    tenant: str
    site: str
    sku: str
    cycle: int
    units: int
    evidence: dict[str, Any]
    triggered: datetime


class QuarantineRow(NamedTuple):
    """A row of quarantine; ``seq`` None for a message that has no settled place in a lane.

    ``keeps_payload`` False: its gateway has filled its share of the quarantine.
    """

    tenant: str
    gateway: str
    lane: str
    ep: str
    seq: int | None
    message: Message
    fault: Fault
    keeps_payload: bool = True


class AnswerRow(NamedTuple):
    """Arguments of ``apply_answer``: what a gateway answered to a command or a configuration."""

    tenant: str
    gateway: str
    command: str
    state: str
    result: dict[str, Any]
    error: str
    cfg: int | None
    applied: bool | None
    at: datetime


class Outcome(NamedTuple):
    """What became of a late frame. ``fault``: it stays in quarantine, or goes there. ``times``: repaired, by event."""

    late: LateFrame
    fault: Fault | None = None
    times: tuple[tuple[str, datetime], ...] = ()


@dataclass(slots=True)
class Settled:
    """One frame, or a bundle of plain messages, that the next commit settles: what it moves, and what it brings.

    ``lane`` None: it moves no watermark (raw readings, presence, findings over many frames). ``from_seq`` … ``to_seq``
    is more than one frame for a gap only. ``lo:hi`` are its readings in the facts' columns. ``live_t0_ms``: for the
    lag of live lanes.
    """

    lane: LaneId | None
    ep: str = ""
    from_seq: int = 0
    to_seq: int = 0
    digest: int = 0
    lo: int = 0
    hi: int = 0
    tenant: str = ""
    gateway: str = ""
    site: str = ""
    live_t0_ms: int | None = None
    message: Message | None = None
    bundle: Bundle | None = None
    gap_reason: str = ""
    once: bool = False
    """Readings of the raw lane that carried a time: stored once for the same series, time and value."""
    quarantine: QuarantineRow | None = None
    events: tuple[EventRow, ...] = ()
    positions: tuple[PositionRow, ...] = ()
    anomalies: tuple[AnomalyRow, ...] = ()
    sighting: Sighting | None = None
    proposals: tuple[ProposalRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    learnt: tuple[tuple[str, bytes], ...] = ()
    """States of detectors to be saved, by key."""
    sales_read: tuple[str, int] | None = None
    """Span of a process and the id up to which it has read sales."""
    held_boot: str = ""
    """The frame waits for an anchor of this boot."""
    outcome: Outcome | None = None


@dataclass(slots=True)
class Facts:
    """What one step of one bucket adds to the epoch.

    ``again``: gateways whose ack is to be told once more although nothing moved (duplicates, frames ahead, presence).
    ``unknown``: incarnations of which a frame came that is not the first, and none is committed.
    """

    columns: Columns
    frames: list[Settled] = field(default_factory=list)
    again: dict[GatewayAddress, dict[Lane, tuple[str, int]]] = field(default_factory=dict)
    unknown: dict[GatewayAddress, dict[Lane, str]] = field(default_factory=dict)
    strays: dict[Reason, int] = field(default_factory=dict)
    duplicates: int = 0
    ahead: int = 0
