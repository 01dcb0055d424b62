"""What the outbox file holds, in memory. A transaction works on a copy, which replaces this one when it succeeded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from contracts.frames import AnyFrame
from contracts.topics import Lane
from edge_agent.outbox.ledger import Seal


class Entry(NamedTuple):
    """A frame to write; its ``ep``, ``seq`` and ``prev`` are set when it is.

    ``slots``: memories written with it. ``records``: the grounds of its decisions, each as JSON.
    """

    lane: Lane
    frame: AnyFrame
    readings: int
    slots: Mapping[str, bytes] = {}
    records: Sequence[bytes] = ()


@dataclass(slots=True)
class Account:
    """One lane: ``committed`` its watermark, ``last`` its last number, the rest counts what was ever written.

    ``digest`` is the sum of the frames' digests modulo 2**64, without those that were given up.
    """

    committed: int = 0
    last: int = 0
    frames: int = 0
    readings: int = 0
    lost: int = 0
    digest: int = 0

    def row(self, lane: Lane) -> dict[str, str | int]:
        """The lane's row in the file."""
        return {
            "lane": lane.value,
            "committed": self.committed,
            "last": self.last,
            "frames": self.frames,
            "readings": self.readings,
            "lost": self.lost,
            "digest": f"{self.digest:x}",
        }


@dataclass(slots=True)
class Chain:
    """The ledger: entries ``seal.n`` + 1 … ``last`` are kept, with ``digests`` digests; ``hash`` is the newest."""

    seal: Seal = field(default_factory=Seal)
    last: int = 0
    hash: str = field(default_factory=lambda: Seal().hash)
    digests: int = 0

    @property
    def entries(self) -> int:
        """Entries that are kept."""
        return self.last - self.seal.n


@dataclass(slots=True)
class State:
    """The whole file: ``bytes`` and ``frames`` are those that wait."""

    lanes: dict[Lane, Account] = field(default_factory=lambda: {lane: Account() for lane in Lane})
    bytes: int = 0
    frames: int = 0
    chain: Chain = field(default_factory=Chain)

    def copy(self) -> "State":
        """A copy that may be changed."""
        lanes = {lane: replace(account) for lane, account in self.lanes.items()}
        return State(lanes, self.bytes, self.frames, replace(self.chain))
