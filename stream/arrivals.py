"""Frames with a place in a lane, as they arrive. Pure."""

import xxhash

from contracts import frames
from contracts.frames import AnyFrame, Envelope
from contracts.topics import GatewayAddress, Lane
from stream.facts import Arrival, Fault, LateFrame, Message


def arrival_of(message: Message, address: GatewayAddress, lane: Lane, frame: AnyFrame) -> Arrival:
    """A frame that was read, without its entries."""
    return Arrival(
        message=message,
        address=address,
        lane=lane,
        ep=frame.ep,
        seq=frame.seq,
        digest=frames.digest(frame),
        t0_ms=frame.t0,
        sync=frame.sync == 1,
        boot=frame.boot,
        mono_ms=frame.mono,
        gap=frame.gap,
        prev=frame.prev,
    )


def returned(late: LateFrame) -> Arrival:
    """A late frame without a content of its own."""
    address = GatewayAddress(late.tenant, "", late.gateway)
    return Arrival(
        late.message, address, None, late.ep, late.seq or 0, 0, 0, sync=True, boot="", mono_ms=0, late=late
    )  # fmt: skip


def unreadable(message: Message, address: GatewayAddress, lane: Lane, envelope: Envelope, fault: Fault) -> Arrival:
    """A frame whose place is known and whose body is not; its bytes stand in for its content hash."""
    digest = xxhash.xxh64_intdigest(message.payload)
    return Arrival(message, address, lane, envelope.ep, envelope.seq, digest, 0, sync=True, boot="", mono_ms=0,
                   fault=fault)  # fmt: skip
