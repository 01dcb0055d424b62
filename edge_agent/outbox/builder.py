"""Readings and decisions -> frames without their sequence number. Pure: clocks are arguments.

Times come on the monotonic clock and are told in UTC as of the moment when the frame is closed, so that a step of
the clock never lands between two readings of one frame.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from contracts.frames import OFFSET_MAX_MS, PROTOCOL_VERSION, Event, EventFrame, Quality, TelemetryFrame
from edge_agent.bus.registers import Decoded
from edge_agent.clock import Instant
from edge_agent.shelf.decision import Decision

UNNUMBERED: Final = "none"
"""Incarnation of a frame that the outbox has not numbered yet."""
FRAME_BYTES_MAX: Final = 60_000
"""A frame is closed before it reaches the protocol's 64 KiB."""
_READING_BYTES: Final = 48
"""More than a reading takes in JSON: position 4, offset 7, value 24, quality 8, and commas."""
_CHANNEL_BYTES: Final = 67
"""The longest channel name (contracts.topics), with its quotes and comma."""
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH: Final = 26
_ULID_RANDOM_BITS: Final = 80
_FIVE_BITS: Final = 31


class Polled(NamedTuple):
    """What one poll brought that is worth sending, all at ``mono_ms`` on the monotonic clock."""

    mono_ms: int
    readings: Sequence[Decoded]


class FrameBuilder:
    """Gathers polls until there are ``readings_max``, a frame is full, or the first reading is ``age_max_ms`` old.

    Readings go into the columns of the frame at once: this runs for every value that is sent.
    """

    def __init__(self, readings_max: int, age_max_ms: int) -> None:
        self._readings_max = readings_max
        self._age_max_ms = age_max_ms
        self._begin()

    def _begin(self) -> None:
        self._runs: list[tuple[int, int]] = []
        """Times, and how many readings each has."""
        self._positions: list[int] = []
        self._values: list[float] = []
        self._doubts: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._channel_bytes = 0

    def add(self, polled: Polled) -> Polled | None:
        """Take what finds room; the rest, which belongs into the next frame, or None."""
        room = self._room()
        mono_ms, readings = polled
        rest = None
        if len(readings) > room:
            readings, rest = readings[:room], Polled(mono_ms, readings[room:])
        channels, positions, values = self._channels, self._positions, self._values
        for channel, value, quality in readings:
            position = channels.get(channel)
            if position is None:
                position = channels[channel] = len(channels)
                self._channel_bytes += len(channel) + 3
            if quality is not Quality.GOOD:
                self._doubts[str(len(values))] = int(quality)
            positions.append(position)
            values.append(value)
        self._runs.append((mono_ms, len(readings)))
        return rest

    def is_full(self) -> bool:
        """Whether ``add`` would take nothing."""
        return self._room() <= 0

    def _room(self) -> int:
        bytes_left = FRAME_BYTES_MAX - self._channel_bytes - len(self._values) * _READING_BYTES
        return min(self._readings_max - len(self._values), bytes_left // (_READING_BYTES + _CHANNEL_BYTES))

    def due_ms(self) -> int | None:
        """When, on the monotonic clock, the frame must be closed; None while it is empty."""
        return self._runs[0][0] + self._age_max_ms if self._runs else None

    def take(self, instant: Instant, boot: str) -> tuple[TelemetryFrame, int] | None:
        """The frame of what was gathered and its number of readings, or None; then begins anew.

        ``instant`` ties the monotonic times to UTC.
        """
        if not self._runs:
            return None
        first_ms = min(mono_ms for mono_ms, _ in self._runs)
        offsets: list[int] = []
        for mono_ms, count in self._runs:
            offsets += [mono_ms - first_ms] * count
        frame = TelemetryFrame(
            v=PROTOCOL_VERSION,
            ep=UNNUMBERED,
            seq=1,
            t0=_utc_ms(first_ms, instant),
            sync=int(instant.synced),
            boot=boot,
            mono=first_ms,
            i=self._positions,
            d=offsets,
            x=self._values,
            q=self._doubts,
            ch=list(self._channels),
        )
        self._begin()
        return frame, len(frame.x)


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
