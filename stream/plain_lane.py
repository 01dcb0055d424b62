"""The raw lane: messages of plain devices to columns, many at a time, without an object a message behind the parser.

Like ``telemetry``: names that passed the strict way once are only looked up; what is new or odd goes the strict way of
the contracts, and what that refuses is a stray of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

import msgspec

from contracts import plain, topics
from contracts.frames import FRAME_MAX_BYTES, TIME_MAX_MS, FrameError, Reason
from contracts.ids import bucket_of
from contracts.plain import READINGS_MAX, PlainReading
from contracts.topics import GatewayAddress, TopicError
from stream import clean
from stream.chunks import ChunkBuilder, PlainColumns
from stream.facts import ChannelSet, Fault, Message, Stray

ADDRESSES_CACHED_MAX: Final = 200_000
_NOBODY: Final = GatewayAddress("", "", "")


class Known(Protocol):
    """What the raw lane asks of the control data."""

    def gateway(self, tenant: str, gateway: str) -> clean.Gateway | None:
        """The registered gateway of that name."""

    def is_backfill(self, tenant: str, gateway: str, ep: str) -> bool:
        """Whether frames of this incarnation ('' for plain readings) may be older than retention."""

    def channels(self, tenant: str, gateway: str) -> Mapping[str, int]:
        """Series of the gateway's known channels; what becomes known later is seen in it too."""


class _Reading(msgspec.Struct, frozen=True, gc=False):
    """``contracts.plain.PlainReading`` without patterns."""

    values: dict[str, float]
    ts: Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX_MS)] | None = None


_DECODE: Final = msgspec.json.Decoder(_Reading).decode


@dataclass(slots=True)
class _Sender:
    """A gateway of which messages came in this batch. ``fault``: it may not speak at all."""

    address: GatewayAddress
    builder: ChunkBuilder
    fault: Fault | None
    limits: clean.Limits
    ids: Mapping[str, int]
    timed: PlainColumns
    untimed: PlainColumns | None = None
    waiting: list[tuple[Message, PlainReading]] = field(default_factory=list)

    def columns(self, ts: int | None) -> PlainColumns:
        """Where a reading with or without a time goes; few gateways send both kinds."""
        if ts is not None:
            return self.timed
        if self.untimed is None:
            self.untimed = PlainColumns(self.address, once=False)
        return self.untimed


class PlainLane:
    """Reads batches of raw messages. ``read``, then ``wanted`` series are created, then ``finish``."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._addresses: dict[str, tuple[GatewayAddress, int]] = {}
        self._senders: dict[str, _Sender] = {}

    def read(self, messages: Iterable[Message], builders: dict[int, ChunkBuilder], limits: clean.Limits) -> None:
        """Add messages on topics of the raw lane."""
        senders = self._senders
        for message in messages:
            topic, payload, received_ms = message
            sender = senders.get(topic)
            if sender is None:
                sender = senders[topic] = self._sender(topic, builders, limits)
            reading = _quick(payload) if sender.fault is None else None
            if reading is None:
                self._read_strictly(sender, message)
                continue
            values = reading.values
            found = [sender.ids.get(name) for name in values]
            at_ms = received_ms if reading.ts is None else reading.ts
            earliest_ms, latest_ms = sender.limits
            if None in found or not earliest_ms <= at_ms <= latest_ms:
                self._read_strictly(sender, message)
                continue
            columns = sender.columns(reading.ts)
            columns.messages.append(message)
            columns.times_ms.append(at_ms)
            columns.counts.append(len(found))
            columns.series += found  # type: ignore[arg-type] # None is not in it
            columns.values += values.values()

    def read_again(self, message: Message, builders: dict[int, ChunkBuilder], limits: clean.Limits) -> None:
        """Take in a message that was read before, in whole or in part.

        What carries no time counts once as well, as of its receipt.
        """
        sender = self._senders.get(message.topic)
        if sender is None:
            sender = self._senders[message.topic] = self._sender(message.topic, builders, limits)
        self._read_strictly(sender, message, again=True)

    def wanted(self) -> list[ChannelSet]:
        """Channels that are new, in the order in which ``finish`` takes their series."""
        return [
            ChannelSet(*_owner(sender), tuple(reading.values))
            for sender in self._senders.values()
            for _, reading in sender.waiting
        ]

    def finish(self, faults: Iterable[Fault | None]) -> None:
        """Add the readings that waited for their series, but for those with a fault, and end the batch."""
        fault_of = iter(faults)
        for sender in self._senders.values():
            for message, reading in sender.waiting:
                fault = next(fault_of)
                if fault is None:
                    _add(sender, message, reading)
                else:
                    sender.builder.strays.append(Stray(message, *_owner(sender), fault))
            sender.builder.plain += [
                each for each in (sender.timed, sender.untimed) if each is not None and each.messages
            ]
        self._senders = {}

    def _sender(self, topic: str, builders: dict[int, ChunkBuilder], limits: clean.Limits) -> _Sender:
        fault: Fault | None
        ids: Mapping[str, int] = {}
        try:
            address, bucket = self._address(topic)
        except TopicError as error:
            address, bucket, fault = _NOBODY, 0, Fault(Reason.BAD_TOPIC, str(error))
        else:
            fault = clean.check_gateway(address, self._known.gateway(address.tenant, address.gateway))
        if fault is None:
            ids = self._known.channels(address.tenant, address.gateway)
            if self._known.is_backfill(address.tenant, address.gateway, ""):
                limits = limits._replace(earliest_ms=0)
        builder = builders.setdefault(bucket, ChunkBuilder())
        return _Sender(address, builder, fault, limits, ids, PlainColumns(address, once=True))

    def _address(self, topic: str) -> tuple[GatewayAddress, int]:
        cached = self._addresses.get(topic)
        if cached is None:
            address = topics.parse_plain(topic, "raw")
            if len(self._addresses) >= ADDRESSES_CACHED_MAX:
                self._addresses.clear()
            cached = self._addresses[topic] = (address, bucket_of(address.gateway))
        return cached

    def _read_strictly(self, sender: _Sender, message: Message, *, again: bool = False) -> None:
        """Let each reading of a message wait for its series; what is refused becomes a stray."""
        owner, strays = _owner(sender), sender.builder.strays
        if sender.fault is not None:
            strays.append(Stray(message, *owner, sender.fault))
            return
        try:
            readings = plain.decode(message.payload)
        except FrameError as error:
            strays.append(Stray(message, *owner, Fault(error.reason, error.detail)))
            return
        twice = clean.check_keys(message.payload)
        if twice is not None:
            strays.append(Stray(message, *owner, twice))
            return
        for reading in readings:
            at_ms = message.received_ms if reading.ts is None else reading.ts
            fault = clean.check_times(at_ms, at_ms, sender.limits)
            if fault is None:
                sender.waiting.append((message, PlainReading(reading.values, at_ms) if again else reading))
            else:
                strays.append(Stray(message, *owner, fault))


def _quick(payload: bytes) -> _Reading | None:
    if len(payload) > FRAME_MAX_BYTES:
        return None
    try:
        reading = _DECODE(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    # Names that are known have no quotes of their own, so more of these are a key twice or one that says nothing.
    keys = len(reading.values) + (1 if reading.ts is None else 2)
    return reading if 1 <= len(reading.values) <= READINGS_MAX and payload.count(b'"') == 2 * keys else None


def _add(sender: _Sender, message: Message, reading: PlainReading) -> None:
    columns = sender.columns(reading.ts)
    columns.messages.append(message)
    columns.times_ms.append(message.received_ms if reading.ts is None else reading.ts)
    columns.counts.append(len(reading.values))
    columns.series += [sender.ids[name] for name in reading.values]
    columns.values += reading.values.values()


def _owner(sender: _Sender) -> tuple[str, str]:
    return sender.address.tenant, sender.address.gateway
