"""The ledgers that gateways export (``shelfpulse edge outbox --ledger``), and what they prove of a database.

A ledger is checked by itself: numbers without a hole, each hash over the one before. Then the digest of each frame is
summed over the frames of each commit that the database has, so that a frame that was altered, lost or added on either
side is found to within one commit. What the gateway still holds is no loss; what it was told is committed must be
there.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.errors import UserError
from contracts.presence import Sent
from contracts.topics import Lane
from deploy.proofs import SENT, Account, Broken, committed_lanes, same_content
from deploy.proofs import Lane as Committed
from edge_agent.outbox.ledger import DIGEST_MODULUS, LedgerEntry, LedgerHead, Told, digests_of, hash_of
from stream.storage import Connection

LINE_MAX_BYTES: Final = 1024 * 1024
"""A group of 2,000 frames and their digests is 34 KiB."""
FORMS: Final = (
    'a line is {"tenant","gateway","lane","ep","seq","digest","readings","acked"}, or of `edge outbox --ledger`'
)
COMMITS: Final = """
    SELECT from_seq, to_seq, frame_digest FROM ingest_batch
    WHERE tenant_id = %(tenant)s AND gateway_id = %(gateway)s AND lane = %(lane)s AND ep = %(ep)s
      AND from_seq > %(after)s AND to_seq <= %(last)s AND gap_frames = 0 AND quarantined = 0
    ORDER BY from_seq
"""


@dataclass(slots=True)
class LaneLedger:
    """Digests of the frames ``after`` + 1 … of one lane; ``gaps`` are the ranges that were given up later."""

    after: int = 0
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    gaps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The last frame."""
        return self.after + len(self.digests)

    def is_given_up(self, first: int, last: int) -> bool:
        """Whether a gap stands for any of these frames."""
        return any(start <= last and first <= end for start, end in self.gaps)


@dataclass(slots=True)
class GatewayLedger:
    """One incarnation's ledger; ``broken`` says where its chain is."""

    head: LedgerHead
    n: int
    hash: str
    lanes: dict[Lane, LaneLedger]
    broken: list[str] = field(default_factory=list)

    def take(self, entry: LedgerEntry) -> None:
        """Follow the chain by one entry."""
        if entry.n != self.n + 1:
            self.broken.append(f"entry {entry.n} of the gateway's ledger follows entry {self.n}")
        elif entry.hash != hash_of(entry, self.hash):
            self.broken.append(f"entry {entry.n} of the gateway's ledger is not what its hash says")
        self.n, self.hash = entry.n, entry.hash
        for part in entry.parts:
            lane = self.lanes.setdefault(part.lane, LaneLedger())
            if part.gap is not None:
                lane.gaps.append((part.from_, part.to))
            elif part.from_ != lane.last + 1:
                self.broken.append(f"entry {entry.n} writes {part.lane} {part.from_}, after {lane.last}")
            else:
                lane.digests.extend(digests_of(part))

    def end(self) -> None:
        """All entries are taken: they must end as the head says."""
        if (self.n, self.hash) != (self.head.last, self.head.hash):
            self.broken.append(f"the gateway's ledger ends at entry {self.n}, its head says {self.head.last}")
        for lane, told in self.head.lanes.items():
            last = self.lanes.get(lane, LaneLedger()).last
            if last != told.seq:
                self.broken.append(f"the gateway's ledger has {last} frames of {lane}, its head says {told.seq}")


@dataclass(frozen=True, slots=True)
class Ledgers:
    """What a file has: accounts of lanes, ledgers of gateways, or both."""

    accounts: list[Account] = field(default_factory=list)
    chains: list[GatewayLedger] = field(default_factory=list)

    def end(self) -> "Ledgers":
        """Nothing more comes."""
        for chain in self.chains:
            chain.end()
        return self


class _AnyLine(msgspec.Struct, frozen=True):
    """Tells the kinds of lines apart: only a head has a seal, only an entry has parts."""

    seal: msgspec.Raw = msgspec.Raw()
    parts: msgspec.Raw = msgspec.Raw()


_ANY: Final = msgspec.json.Decoder(_AnyLine)
_ACCOUNT: Final = msgspec.json.Decoder(Account)
_HEAD: Final = msgspec.json.Decoder(LedgerHead)
_ENTRY: Final = msgspec.json.Decoder(LedgerEntry)


def read(file: Path) -> Ledgers:
    """What gateways say they wrote, a JSON object a line. Raises UserError that names file and line."""
    ledgers = Ledgers()
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    _take(ledgers, line, f"{file} line {number}")
    except OSError as error:
        message = f"cannot read {file}: {error.strerror}"
        raise UserError(message) from error
    return ledgers.end()


def _take(ledgers: Ledgers, line: bytes, where: str) -> None:
    try:
        if len(line) > LINE_MAX_BYTES:
            message = f"longer than {LINE_MAX_BYTES} bytes"
            raise ValueError(message)
        kind = _ANY.decode(line)
        if bytes(kind.seal):
            ledgers.chains.append(_begun(_HEAD.decode(line)))
        elif bytes(kind.parts) and ledgers.chains:
            ledgers.chains[-1].take(_ENTRY.decode(line))
        else:
            account = _ACCOUNT.decode(line)
            int(account.digest or "0", 16)
            ledgers.accounts.append(account)
    except ValueError as error:
        message = f"{where}: {error}"
        raise UserError(message, FORMS) from error


def _begun(head: LedgerHead) -> GatewayLedger:
    """The ledger behind its seal, before its first entry."""
    lanes = {lane: LaneLedger(sealed.seq) for lane, sealed in head.seal.lanes.items()}
    return GatewayLedger(head, head.seal.n, head.seal.hash, lanes)


def prove(snapshot: Connection, chains: list[GatewayLedger]) -> Iterator[Broken]:
    """I1 and I2 against the ledgers of gateways: chains are whole, and commits are what was written."""
    committed = committed_lanes(snapshot)
    for chain in chains:
        head = chain.head
        where = f"{head.tenant}/{head.gateway}/{head.ep}"
        yield from (Broken("I1", where, what) for what in chain.broken)
        told_us = _presence(snapshot, head)
        for lane, ledger in sorted(chain.lanes.items()):
            key = (head.tenant, head.gateway, str(lane), head.ep)
            yield from _compared(key, ledger, head.lanes.get(lane), committed.get(key), told_us.get(str(lane)))
            for first, last, found, expected in _different(snapshot, key, ledger):
                what = f"frames {first} … {last} were committed with digest {found:x}, written with {expected:x}"
                yield Broken("I2", "/".join(key), what)


def _compared(
    key: tuple[str, str, str, str],
    ledger: LaneLedger,
    told: Told | None,
    committed: Committed | None,
    presence: Sent | None,
) -> Iterator[Broken]:
    where = "/".join(key)
    seq = 0 if committed is None else committed.seq
    if seq > ledger.last:
        yield Broken("I1", where, f"{seq} frames are committed, the gateway's ledger has {ledger.last}")
    if presence is not None and presence.ep == key[3] and presence.seq > ledger.last:
        yield Broken("I1", where, f"the gateway said {presence.seq} in its presence, its ledger has {ledger.last}")
    if told is None:
        return
    if told.acked > seq:
        yield Broken("I1", where, f"{told.acked} frames were acknowledged, {seq} are committed")
    # Frames that were given up may have been settled all the same, before their gap came: sums differ rightly then.
    if committed is not None and seq == told.seq and not ledger.gaps:
        if not same_content(committed, told.digest):
            what = f"the digest of what was sent is {told.digest}, settled is {committed.digest:x}"
            yield Broken("I2", where, what)
        if not committed.gap_frames and not committed.quarantined and committed.readings != told.readings:
            yield Broken("I1", where, f"{told.readings} readings were written, {committed.readings} are committed")


def _different(
    snapshot: Connection, key: tuple[str, str, str, str], ledger: LaneLedger
) -> Iterator[tuple[int, int, int, int]]:
    """Commits (first, last, their digest, ours) that are not what was written."""
    tenant, gateway, lane, ep = key
    place = {"tenant": tenant, "gateway": gateway, "lane": lane, "ep": ep, "after": ledger.after, "last": ledger.last}
    sums = _running_sums(ledger)
    for first, last, digest in snapshot.execute(COMMITS, place):
        expected = (int(sums[last - ledger.after]) - int(sums[first - 1 - ledger.after])) % DIGEST_MODULUS
        if expected != int(digest) and not ledger.is_given_up(first, last):
            yield first, last, int(digest), expected


def _running_sums(ledger: LaneLedger) -> npt.NDArray[np.uint64]:
    """Sums of the first 0, 1, 2 … digests modulo 2**64, shape (frames + 1,)."""
    return np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum(np.frombuffer(ledger.digests, np.uint64), dtype=np.uint64)]
    )


def _presence(snapshot: Connection, head: LedgerHead) -> dict[str, Sent]:
    for tenant, gateway, sent in snapshot.execute(SENT):
        if (tenant, gateway) == (head.tenant, head.gateway):
            return msgspec.convert(sent, dict[str, Sent])
    return {}
