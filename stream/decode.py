"""MQTT payloads to chunks: one decode a frame, one array a column and batch, no object a reading."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from contracts import frames, presence, topics
from contracts.frames import AnswerFrame, AnyFrame, Envelope, EventFrame, FrameError, Reason, TelemetryFrame
from contracts.ids import bucket_of
from contracts.topics import GatewayAddress, Lane, TopicError
from stream import clean, telemetry
from stream.arrivals import arrival_of, returned, unreadable
from stream.chunks import ChunkBuilder
from stream.facts import Arrival, ChannelSet, Chunk, Fault, LateBatch, LateFrame, Message, Sighting, Stray
from stream.fence import ALL
from stream.plain_lane import PlainLane
from stream.settings import CLOCK_AHEAD, RETENTION

TOPICS_CACHED_MAX: Final = 200_000
NAMES_CACHED_MAX: Final = 100_000
"""Sets of channel names, and incarnations with their boots, that passed the strict way; each by topic."""
_READINGS: Final = frozenset({Lane.TEL, Lane.BULK})
_UP: Final = f"{topics.ROOT}/up/"
_RAW: Final = f"{topics.ROOT}/raw/"
_STATE: Final = f"{topics.ROOT}/st/"


class Registry(Protocol):
    """What decoding asks of the control data."""

    def gateway(self, tenant: str, gateway: str) -> clean.Gateway | None:
        """The registered gateway of that name."""

    def is_backfill(self, tenant: str, gateway: str, ep: str) -> bool:
        """Whether frames of this incarnation ('' for plain readings) may be older than retention."""

    def channels(self, tenant: str, gateway: str) -> Mapping[str, int]:
        """Series of the gateway's known channels; what becomes known later is seen in it too."""

    def series(self, wanted: Sequence[ChannelSet]) -> "list[npt.NDArray[np.int32] | Fault]":
        """Ids of the series of each set, shape (len(channels),); all that are new are created at once."""


@dataclass(slots=True)
class _Unnamed:
    """A frame whose series are not known yet; ``ids`` are zeros that stand in its chunk and are filled in."""

    arrival: Arrival
    names: tuple[str, tuple[str, ...]]
    incarnation: tuple[str, str, str]
    wanted: ChannelSet
    ids: npt.NDArray[np.int32]


class Decoder:
    """Turns batches of messages into one chunk a bucket.

    ``registry`` answers from memory but for new channels. ``buckets``: presences of others are for another process.
    ``retention`` is the age from which readings are refused, ``clock`` gives the time against which they are judged.
    """

    def __init__(
        self,
        registry: Registry,
        buckets: Container[int] = ALL.buckets,
        retention: timedelta = RETENTION,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = registry
        self._buckets = buckets
        self._retention = retention
        self._clock = clock
        self._topics: dict[str, topics.UpTopic] = {}
        self._known: dict[tuple[str, tuple[str, ...]], npt.NDArray[np.int32]] = {}
        self._sound: set[tuple[str, str, str]] = set()
        self._unnamed: list[_Unnamed] = []
        self._returned: list[Arrival] = []
        self._plain = PlainLane(registry)

    def __call__(self, batches: Iterable[list[Message] | LateBatch]) -> list[tuple[str, Chunk]]:
        """Chunks by key of their bucket ("00" … "63"), messages in order of receipt."""
        limits = clean.limits_at(self._clock(), self._retention, CLOCK_AHEAD)
        builders: dict[int, ChunkBuilder] = {}
        for batch in batches:
            if isinstance(batch, LateBatch):
                for late in batch.frames:
                    self._read_late(late, builders, limits)
                continue
            if batch and batch[0].topic.startswith(_RAW):
                # A partition of the source reads either these or the others, so they mostly come unmixed.
                self._plain.read([message for message in batch if message.topic.startswith(_RAW)], builders, limits)
                batch = [message for message in batch if not message.topic.startswith(_RAW)]  # noqa: PLW2901
            for message in batch:
                self._read(message, builders, limits)
        self._name()
        self._refuse_again(builders)
        return [(f"{bucket:02}", builder.chunk(bucket)) for bucket, builder in builders.items()]

    def _name(self) -> None:
        """Fill in the series of all frames and plain readings that asked for them, new gateways' in one go."""
        unnamed, self._unnamed = self._unnamed, []
        wanted = [each.wanted for each in unnamed] + self._plain.wanted()
        named = self._registry.series(wanted) if wanted else []
        self._plain.finish([ids if isinstance(ids, Fault) else None for ids in named[len(unnamed) :]])
        for each, ids in zip(unnamed, named[: len(unnamed)], strict=True):
            if isinstance(ids, Fault):
                # Its readings stay in the chunk without a frame that claims them, so the bucket leaves them out.
                each.arrival.fault = ids
                continue
            each.ids[:] = ids
            if len(self._known) >= NAMES_CACHED_MAX:
                self._known.clear()
            self._known[each.names] = ids
            if len(self._sound) >= NAMES_CACHED_MAX:
                self._sound.clear()
            self._sound.add(each.incarnation)

    def _refuse_again(self, builders: dict[int, ChunkBuilder]) -> None:
        """Leave what is refused once more in its row of the quarantine, with its reason of now."""
        again, self._returned = {id(each.message): each for each in self._returned}, []
        for builder in builders.values() if again else ():
            for stray in builder.strays:
                if id(stray.message) in again:
                    again[id(stray.message)].fault = stray.fault
            builder.strays = [stray for stray in builder.strays if id(stray.message) not in again]

    def _read(self, message: Message, builders: dict[int, ChunkBuilder], limits: clean.Limits) -> None:
        topic = message.topic
        try:
            if topic.startswith(_UP):
                bucket, address, lane = self._parse_up(topic)
                self._read_up(message, address, lane, builders.setdefault(bucket, ChunkBuilder()), limits)
            elif topic.startswith(_RAW):
                self._plain.read([message], builders, limits)
            elif topic.startswith(_STATE):
                address = topics.parse_plain(topic, "st")
                owner = bucket_of(address.gateway)
                if owner in self._buckets:
                    self._read_presence(message, address, builders.setdefault(owner, ChunkBuilder()))
            else:
                msg = f"not a topic of ours: {topic[:200]!r}"
                raise TopicError(msg)
        except TopicError as error:
            fault = Fault(Reason.BAD_TOPIC, str(error))
            builders.setdefault(0, ChunkBuilder()).strays.append(Stray(message, "", "", fault))

    def _parse_up(self, topic: str) -> topics.UpTopic:
        parsed = self._topics.get(topic)
        if parsed is None:
            parsed = topics.parse_up(topic)
            if len(self._topics) >= TOPICS_CACHED_MAX:
                self._topics.clear()
            self._topics[topic] = parsed
        return parsed

    def _read_up(
        self, message: Message, address: GatewayAddress, lane: Lane, builder: ChunkBuilder, limits: clean.Limits
    ) -> None:
        stranger = clean.check_gateway(address, self._registry.gateway(address.tenant, address.gateway))
        if stranger is not None:
            builder.strays.append(Stray(message, address.tenant, address.gateway, stranger))
            return
        if lane in _READINGS and self._read_known(message, address, lane, builder, limits):
            return
        try:
            frame = _decode(message.payload, address, lane)
        except FrameError as error:
            fault = Fault(error.reason, error.detail)
            if error.envelope is None:
                builder.strays.append(Stray(message, address.tenant, address.gateway, fault))
            else:
                builder.arrivals.append(unreadable(message, address, lane, error.envelope, fault))
            return
        arrival = arrival_of(message, address, lane, frame)
        builder.arrivals.append(arrival)
        if frame.gap is None:
            self._read_body(frame, arrival, builder, limits)

    def _read_known(
        self, message: Message, address: GatewayAddress, lane: Lane, builder: ChunkBuilder, limits: clean.Limits
    ) -> bool:
        """Read a frame of readings all of whose names passed the strict way before; False when it is not of those."""
        frame = telemetry.read(message.payload)
        if frame is None:
            return False
        ids = self._known.get((message.topic, tuple(frame.ch)))
        if ids is None or (message.topic, frame.ep, frame.boot) not in self._sound:
            return False
        canonical = telemetry.encode(frame)
        if canonical != message.payload and clean.check_spelling(message.payload, address) is not None:
            return False
        sync = frame.sync == 1
        fault = self._check_times(address, frame.ep, (frame.t0, frame.t0 + max(frame.d)), limits) if sync else None
        digest = xxhash.xxh64_intdigest(canonical)
        arrival = Arrival(message, address, lane, frame.ep, frame.seq, digest, frame.t0, sync, frame.boot, frame.mono)
        arrival.fault = fault
        if fault is None:
            arrival.lo = builder.add(ids, frame.t0, (frame.i, frame.d, frame.x))
            arrival.hi = arrival.lo + len(frame.x)
        builder.arrivals.append(arrival)
        return True

    def _read_body(self, frame: AnyFrame, arrival: Arrival, builder: ChunkBuilder, limits: clean.Limits) -> None:
        match frame:
            case TelemetryFrame():
                # The clock of sync:0 is judged once it is repaired, in the bucket that knows the anchors.
                if arrival.sync:
                    times = (frame.t0, frame.t0 + max(frame.d))
                    arrival.fault = self._check_times(arrival.address, frame.ep, times, limits)
                if arrival.fault is None:
                    self._add_readings(frame, arrival, builder)
            case EventFrame():
                arrival.events = tuple(frame.ev)
                arrival.fault = clean.check_texts(frame.ev)
                if arrival.sync and arrival.fault is None:
                    times = (frame.t0, frame.t0 + max(event.d for event in frame.ev))
                    arrival.fault = self._check_times(arrival.address, frame.ep, times, limits)
            case AnswerFrame():
                arrival.answers = tuple(frame.rs)
                arrival.fault = clean.check_answers(frame.rs)

    def _check_times(
        self, address: GatewayAddress, ep: str, times_ms: tuple[int, int], limits: clean.Limits
    ) -> Fault | None:
        """Whether the first and the last time of a frame are accepted; an open backfill has no earliest one."""
        fault = clean.check_times(*times_ms, limits)
        if fault is not None and self._registry.is_backfill(address.tenant, address.gateway, ep):
            return clean.check_times(*times_ms, limits._replace(earliest_ms=0))
        return fault

    def _read_late(self, late: LateFrame, builders: dict[int, ChunkBuilder], limits: clean.Limits) -> None:
        """Read a message that comes back from the database; without a settled place it is like any that just came."""
        builder = builders.setdefault(bucket_of(late.gateway) if late.gateway else 0, ChunkBuilder())
        if late.seq is None:
            if late.message.topic.startswith(_RAW):
                self._plain.read_again(late.message, builders, limits)
            else:
                self._read(late.message, builders, limits)
            back = returned(late)
            builder.arrivals.append(back)
            self._returned.append(back)
            return
        _, address, lane = self._parse_up(late.message.topic)
        fault = clean.check_gateway(address, self._registry.gateway(address.tenant, address.gateway))
        try:
            frame = _decode(late.message.payload, address, lane)
        except FrameError as error:
            fault = fault or Fault(error.reason, error.detail)
        else:
            if (frame.ep, frame.seq, frame.gap) != (late.ep, late.seq, None):
                fault = fault or Fault(Reason.BAD_BODY, f"not frame {late.seq} of {late.ep}")
        if fault is not None:
            back = returned(late)
            back.fault = fault
            builder.arrivals.append(back)
            return
        arrival = arrival_of(late.message, address, lane, frame)
        arrival.late = late
        builder.arrivals.append(arrival)
        self._read_body(frame, arrival, builder, limits)

    def _add_readings(self, frame: TelemetryFrame, arrival: Arrival, builder: ChunkBuilder) -> None:
        address, channels = arrival.address, tuple(frame.ch)
        ids = np.zeros(len(channels), np.int32)
        wanted = ChannelSet(address.tenant, address.gateway, channels)
        topic = arrival.message.topic
        self._unnamed.append(_Unnamed(arrival, (topic, channels), (topic, frame.ep, frame.boot), wanted, ids))
        arrival.lo = builder.add(ids, frame.t0, (frame.i, frame.d, frame.x))
        arrival.hi = arrival.lo + len(frame.x)
        if frame.q:
            builder.quality += [(arrival.lo + int(position), code) for position, code in frame.q.items()]

    def _read_presence(self, message: Message, address: GatewayAddress, builder: ChunkBuilder) -> None:
        fault = clean.check_gateway(address, self._registry.gateway(address.tenant, address.gateway))
        if fault is None:
            try:
                seen = presence.decode(message.payload)
            except presence.PresenceError as error:
                fault = Fault(Reason.BAD_BODY, str(error))
            else:
                builder.sightings.append(Sighting(address, seen, message.received_ms))
                return
        builder.strays.append(Stray(message, address.tenant, address.gateway, fault))


def _decode(payload: bytes, address: GatewayAddress, lane: Lane) -> AnyFrame:
    """The frame, when it says one thing only. Raises FrameError."""
    frame = frames.decode(lane, payload)
    misspelt = None if frames.canonical(frame) == payload else clean.check_spelling(payload, address)
    if misspelt is not None:
        envelope = Envelope(v=frame.v, ep=frame.ep, seq=frame.seq) if misspelt.placed else None
        raise FrameError(misspelt.fault.reason, misspelt.fault.detail, envelope)
    return frame
