"""Small frames for tests of stores and the sender."""

from contracts.frames import PROTOCOL_VERSION, Event, EventFrame, EventKind, TelemetryFrame
from contracts.topics import Lane
from edge_agent.outbox.builder import UNNUMBERED
from edge_agent.outbox.file import Entry


def telemetry(value: float, *, ep: str = UNNUMBERED, seq: int = 1, readings: int = 1) -> TelemetryFrame:
    return TelemetryFrame(
        v=PROTOCOL_VERSION, ep=ep, seq=seq, t0=1_800_000_000_000, ch=["s01.temp_c"], i=[0] * readings,
        d=list(range(readings)), x=[value] * readings,
    )  # fmt: skip


def event(number: int) -> EventFrame:
    return EventFrame(
        v=PROTOCOL_VERSION, ep=UNNUMBERED, seq=1, t0=1_800_000_000_000,
        ev=[Event(id=f"e{number}", d=0, slot="s01-b1", kind=EventKind.SALE, units=-1)],
    )  # fmt: skip


def tel_entry(value: float, *, lane: Lane = Lane.TEL, readings: int = 1) -> Entry:
    return Entry(lane, telemetry(value, readings=readings), readings)
