"""The outbox's ledger: an entry a commit, chained by hashes, so that nobody can change the past unnoticed. Pure.

An entry names the frames that one transaction wrote (lane, numbers, the digest of each) and the gaps that it
declared. Its ``hash`` is SHA-256 over the hash before it (64 hexadecimal digits) and its own canonical JSON without
``hash``. The first entry of a file follows ``GENESIS``, or the last hash of the incarnation before, when that could
be read.

A gateway runs for years, so the oldest entries are folded into a *seal*, which keeps where the chain stood and the
sums of what left it. ``shelfpulse verify --ledger`` follows the chain from the seal and compares every commit of the
database that lies behind it.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec

from contracts.frames import GapReason, Incarnation, Seq
from contracts.topics import Lane

DIGEST_MODULUS: Final = 2**64
GENESIS: Final = "0" * 64
DIGEST_DIGITS: Final = 16
"""Hexadecimal digits of one frame's digest."""
Hash = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")]


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Frames ``from`` … ``to`` of one lane that a transaction wrote, or gave up when ``gap`` names a reason.

    ``digests``: 16 hexadecimal digits a frame, one after the other; for a gap, those of the frame that declares it.
    """

    lane: Lane
    from_: Seq = msgspec.field(name="from")
    to: Seq
    digests: str
    readings: Annotated[int, msgspec.Meta(ge=0)] = 0
    gap: GapReason | None = None


class LedgerEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One transaction. ``n`` counts from 1 in an incarnation; ``at_ms`` is the gateway's clock, and only told."""

    n: Annotated[int, msgspec.Meta(ge=1)]
    at_ms: int
    parts: list[Part]
    hash: Hash = ""


class SealedLane(msgspec.Struct, frozen=True):
    """What the folded entries said of a lane: frames 1 … ``seq``, and the sum of the digests that were written."""

    seq: Annotated[int, msgspec.Meta(ge=0)]
    readings: Annotated[int, msgspec.Meta(ge=0)]
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{1,16}\Z")]


class Seal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the chain stood after entry ``n``: all entries up to it are folded into ``lanes``."""

    n: Annotated[int, msgspec.Meta(ge=0)] = 0
    hash: Hash = GENESIS
    lanes: dict[Lane, SealedLane] = {}


class Told(msgspec.Struct, frozen=True):
    """The gateway's account of one lane when the ledger was exported; ``acked``: its last acknowledged watermark."""

    seq: Annotated[int, msgspec.Meta(ge=0)]
    acked: Annotated[int, msgspec.Meta(ge=0)]
    readings: Annotated[int, msgspec.Meta(ge=0)]
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{1,16}\Z")]


class LedgerHead(msgspec.Struct, frozen=True, kw_only=True):
    """First line of an exported incarnation: whose it is, what the chain begins with, and how it ends."""

    tenant: str
    gateway: str
    ep: Incarnation
    seal: Seal
    last: Annotated[int, msgspec.Meta(ge=0)]
    hash: Hash
    lanes: dict[Lane, Told]


_ENCODE = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(LedgerEntry).decode
decode_seal = msgspec.json.Decoder(Seal).decode
encode = _ENCODE


def chained(entry: LedgerEntry, before: str) -> LedgerEntry:
    """The entry with its hash, ``before`` being that of the one before it."""
    return msgspec.structs.replace(entry, hash=hash_of(entry, before))


def hash_of(entry: LedgerEntry, before: str) -> str:
    """What the entry's hash must be."""
    body = _ENCODE(msgspec.structs.replace(entry, hash=""))
    return hashlib.sha256(before.encode() + body).hexdigest()


def digits(digests: Sequence[int]) -> str:
    """Digests as an entry has them."""
    return struct.pack(f">{len(digests)}Q", *digests).hex()


def digests_of(part: Part) -> tuple[int, ...]:
    """The digests of a part. Raises ValueError when they are not one a frame."""
    frames = 1 if part.gap is not None else part.to - part.from_ + 1
    if frames < 1 or len(part.digests) != frames * DIGEST_DIGITS:
        msg = f"{len(part.digests)} digits of digests for frames {part.from_} … {part.to}"
        raise ValueError(msg)
    return struct.unpack(f">{frames}Q", bytes.fromhex(part.digests))


def fold(seal: Seal, entries: Iterable[LedgerEntry]) -> Seal:
    """The seal with the entries that follow it taken in."""
    lanes = dict(seal.lanes)
    for entry in entries:
        assert entry.n == seal.n + 1, f"entry {entry.n} does not follow {seal.n}"
        seal = Seal(entry.n, entry.hash)
        for part in entry.parts:
            if part.gap is None:
                known = lanes.get(part.lane, SealedLane(0, 0, "0"))
                digest = (int(known.digest, 16) + sum(digests_of(part))) % DIGEST_MODULUS
                lanes[part.lane] = SealedLane(part.to, known.readings + part.readings, f"{digest:x}")
    return Seal(seal.n, seal.hash, lanes)
