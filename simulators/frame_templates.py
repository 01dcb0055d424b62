"""Frames by the hundred thousand: bodies are encoded once, each frame only splices its number and time in. Pure.

The bytes are those that ``contracts.frames.encode`` gives, so their hash is the frame's digest.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from contracts.frames import (
    PROTOCOL_VERSION,
    Event,
    EventFrame,
    EventKind,
    Gap,
    GapReason,
    TelemetryFrame,
    encode,
)
from contracts.topics import Lane

VARIANTS: Final = 16
"""Different bodies of one device group; frame ``seq`` has body ``seq % VARIANTS``."""
METRICS: Final = ("weight_g", "temp_c")
SPREAD_MS: Final = 5
"""Readings of a frame lie this far apart."""
_MARK_SEQ: Final = 987_654_321
_MARK_T0: Final = 876_543_210_123


class FrameTemplate:
    """Frames of one lane of one gateway.

    ``readings`` in each of them, over ``devices`` devices with two channels each (``d000.weight_g``, ``d000.temp_c``).
    On lane ``evt`` a frame is one sale on a slot named as its device, with an id of its own.
    """

    def __init__(self, lane: Lane, ep: str, devices: int, readings: int, rng: Random) -> None:
        assert devices >= 1
        assert readings >= 1
        self.lane = lane
        self.ep = ep
        self.readings = 0 if lane is Lane.EVT else readings
        self._devices = devices
        bodies = [self._body(variant, readings, rng) for variant in range(VARIANTS)]
        self._heads = [head for head, _, _ in bodies]
        self._middles = [middle for _, middle, _ in bodies]
        self._tails = [tail for _, _, tail in bodies]

    def payload(self, seq: int, t0_ms: int) -> bytes:
        """Frame ``seq`` whose earliest reading was taken at ``t0_ms``; the same arguments give the same bytes."""
        variant = seq % VARIANTS
        number = b"%d" % seq
        tail = self._tails[variant]
        if self.lane is Lane.EVT:
            tail = tail.replace(b"~", number, 1)
        return b"%s%s%s%d%s" % (self._heads[variant], number, self._middles[variant], t0_ms, tail)

    def _body(self, variant: int, readings: int, rng: Random) -> tuple[bytes, bytes, bytes]:
        payload = encode(self._sale(variant) if self.lane is Lane.EVT else self._telemetry(variant, readings, rng))
        head, rest = payload.split(b"%d" % _MARK_SEQ, 1)
        middle, tail = rest.split(b"%d" % _MARK_T0, 1)
        return head, middle, tail.replace(b'"id":"%s-"' % self.ep.encode(), b'"id":"%s-~"' % self.ep.encode(), 1)

    def _telemetry(self, variant: int, readings: int, rng: Random) -> TelemetryFrame:
        # Neighbouring frames are of neighbouring devices, so that all of them appear.
        first = variant * readings // len(METRICS)
        channels: dict[str, int] = {}
        index: list[int] = []
        values: list[float] = []
        for number in range(readings):
            metric = METRICS[number % len(METRICS)]
            name = f"d{(first + number // len(METRICS)) % self._devices:03d}.{metric}"
            index.append(channels.setdefault(name, len(channels)))
            values.append(round(rng.gauss(4200, 10), 1) if metric == "weight_g" else round(rng.gauss(21, 0.2), 1))
        return TelemetryFrame(
            v=PROTOCOL_VERSION,
            ep=self.ep,
            seq=_MARK_SEQ,
            t0=_MARK_T0,
            ch=list(channels),
            i=index,
            d=[SPREAD_MS * number for number in range(readings)],
            x=values,
        )

    def _sale(self, variant: int) -> EventFrame:
        event = Event(
            id=f"{self.ep}-",
            d=0,
            slot=f"d{variant % self._devices:03d}",
            kind=EventKind.SALE,
            units=-1,
            dg=-330.0,
            conf=0.98,
            on_shelf=variant,
        )
        return EventFrame(v=PROTOCOL_VERSION, ep=self.ep, seq=_MARK_SEQ, t0=_MARK_T0, ev=[event])


def gap_payload(lane: Lane, ep: str, first: int, last: int, reason: GapReason) -> bytes:
    """A frame that stands for frames ``first`` … ``last`` which will never come."""
    gap = Gap(from_=first, to=last, reason=reason)
    kind = EventFrame if lane is Lane.EVT else TelemetryFrame
    return encode(kind(v=PROTOCOL_VERSION, ep=ep, seq=last, gap=gap))


def device_names(devices: int) -> Sequence[str]:
    """Devices that the frames of a gateway with so many name."""
    return [f"d{number:03d}" for number in range(devices)]
