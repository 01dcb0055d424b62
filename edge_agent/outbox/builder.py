"""Readings and decisions -> frames without their sequence number. Pure: clocks are arguments.

Times come on the monotonic clock and are told in UTC as of the moment when the frame is closed, so that a step of
the clock never lands between two readings of one frame.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from contracts.frames import OFFSET_MAX_MS, PROTOCOL_VERSION, Event, EventFrame, Quality, TelemetryFrame
from edge_agent.clock import Instant
from edge_agent.shelf.decision import Decision

UNNUMBERED: Final = "none"
"""Incarnation of a frame that the outbox has not numbered yet."""
FRAME_BYTES_MAX: Final = 60_000
"""A frame is closed before it reaches the protocol's 64 KiB."""
_READING_BYTES: Final = 48
"""More than a reading takes in JSON: position 4, offset 7, value 24, quality 8, and commas."""
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH: Final = 26
_ULID_RANDOM_BITS: Final = 80
_FIVE_BITS: Final = 31


class Reading(NamedTuple):
    """A value of a channel in its unit, at ``mono_ms`` on the monotonic clock."""

    mono_ms: int
    channel: str
    value: float
    quality: Quality


class FrameBuilder:
    """Gathers readings until there are ``readings_max``, a frame is full, or the first is ``age_max_ms`` old."""

    def __init__(self, readings_max: int, age_max_ms: int) -> None:
        self._readings_max = readings_max
        self._age_max_ms = age_max_ms
        self._readings: list[Reading] = []
        self._channels: set[str] = set()
        self._bytes = 0

    def add(self, reading: Reading) -> bool:
        """Take a reading; True when the frame is full."""
        self._readings.append(reading)
        self._bytes += _READING_BYTES
        if reading.channel not in self._channels:
            self._channels.add(reading.channel)
            self._bytes += len(reading.channel) + 3
        return len(self._readings) >= self._readings_max or self._bytes >= FRAME_BYTES_MAX

    def due_ms(self) -> int | None:
        """When, on the monotonic clock, the frame must be closed; None while it is empty."""
        return self._readings[0].mono_ms + self._age_max_ms if self._readings else None

    def take(self, instant: Instant, boot: str) -> tuple[TelemetryFrame, int] | None:
        """The frame of what was gathered and its number of readings, or None; then begins anew."""
        if not self._readings:
            return None
        readings, self._readings = self._readings, []
        self._channels.clear()
        self._bytes = 0
        return telemetry_frame(readings, instant, boot), len(readings)


def telemetry_frame(readings: Sequence[Reading], instant: Instant, boot: str) -> TelemetryFrame:
    """Readings as columns; ``instant`` ties their monotonic times to UTC."""
    first_ms = min(reading.mono_ms for reading in readings)
    channels: dict[str, int] = {}
    return TelemetryFrame(
        v=PROTOCOL_VERSION,
        ep=UNNUMBERED,
        seq=1,
        t0=_utc_ms(first_ms, instant),
        sync=int(instant.synced),
        boot=boot,
        mono=first_ms,
        i=[channels.setdefault(reading.channel, len(channels)) for reading in readings],
        d=[reading.mono_ms - first_ms for reading in readings],
        x=[reading.value for reading in readings],
        q={str(k): int(r.quality) for k, r in enumerate(readings) if r.quality is not Quality.GOOD},
        ch=list(channels),
    )


def event_frame(decisions: Sequence[Decision], instant: Instant, boot: str) -> EventFrame:
    """Decisions of the inference; their ``t_ms`` is on the monotonic clock."""
    first_ms = min(decision.t_ms for decision in decisions)
    return EventFrame(
        v=PROTOCOL_VERSION,
        ep=UNNUMBERED,
        seq=1,
        t0=_utc_ms(first_ms, instant),
        sync=int(instant.synced),
        boot=boot,
        mono=first_ms,
        ev=list(_events(decisions, first_ms)),
    )


def ulid(time_ms: int, randomness: bytes) -> str:
    """A ULID: 48 bits of time and 80 random bits (10 bytes) in Crockford's base 32; sorts by time."""
    number = time_ms << _ULID_RANDOM_BITS | int.from_bytes(randomness, "big")
    return "".join(_CROCKFORD[number >> 5 * place & _FIVE_BITS] for place in reversed(range(_ULID_LENGTH)))


def _utc_ms(mono_ms: int, instant: Instant) -> int:
    return max(0, instant.utc_ms - (instant.mono_ms - mono_ms))


def _events(decisions: Iterable[Decision], first_ms: int) -> Iterable[Event]:
    for decision in decisions:
        yield Event(
            id=decision.id,
            d=min(OFFSET_MAX_MS, decision.t_ms - first_ms),
            slot=decision.slot,
            kind=decision.kind,
            units=decision.units,
            dg=decision.delta_g,
            conf=decision.conf,
            on_shelf=decision.on_shelf,
            of=decision.of,
            why=decision.why,
            other=dict(decision.other),
        )
