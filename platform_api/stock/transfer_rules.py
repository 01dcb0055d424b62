"""What may become of a transfer that somebody asked for, line by line. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class TransferAct(StrEnum):
    """What is done to a transfer, and told. Stored, so names never change."""

    REQUESTED = "requested"
    SENT = "sent"
    RECEIVED = "received"
    CLOSED = "closed"


class TransferState(StrEnum):
    """How far a transfer is. Stored, so names never change."""

    REQUESTED = "requested"
    PART_SENT = "part_sent"
    """Something has left, and something waits to."""
    SENT = "sent"
    """Nothing waits any more; something is on its way."""
    RECEIVED = "received"
    CANCELLED = "cancelled"
    """Given up before anything had left."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Units of a line: asked for, sent, and of these received or missing; given up are those that are not sent.

    ``held`` are those of the waiting ones that nobody else gets.
    """

    units: int
    sent: int = 0
    received: int = 0
    missing: int = 0
    given_up: int = 0
    held: int = 0

    @property
    def waiting(self) -> int:
        """Units on back-order."""
        return self.units - self.sent - self.given_up

    @property
    def unheld(self) -> int:
        """Units on back-order for which nothing is held yet."""
        return self.waiting - self.held

    @property
    def on_the_way(self) -> int:
        """Units in transit."""
        return self.sent - self.received - self.missing


def state_of(lines: Iterable[Progress]) -> TransferState:
    """State of a transfer by its lines."""
    known = list(lines)
    if any(line.waiting for line in known):
        return TransferState.PART_SENT if any(line.sent for line in known) else TransferState.REQUESTED
    if any(line.on_the_way for line in known):
        return TransferState.SENT
    return TransferState.RECEIVED if any(line.sent for line in known) else TransferState.CANCELLED


def units_to_send(
    lines: Mapping[str, Progress], free: Mapping[str, int], fresh: Mapping[str, int], asked: Mapping[str, int] | None
) -> dict[str, int]:
    """Units by SKU that leave now: as asked, or all that waits and is held, or free at the place, and not expired.

    ``free`` units are promised to nobody, ``fresh`` ones have not expired, whoever they are promised to. Raises
    ValueError for more than waits, and when nothing would leave.
    """
    if asked is None:
        units = {
            sku: min(line.waiting, line.held + max(0, free.get(sku, 0)), max(0, fresh.get(sku, 0)))
            for sku, line in lines.items()
        }
    else:
        units = dict(asked)
        for sku, count in units.items():
            waiting = lines[sku].waiting if sku in lines else 0
            if count > waiting:
                raise ValueError(f"{waiting} units of {sku} wait to be sent, not {count}")
    units = {sku: count for sku, count in units.items() if count}
    if not units:
        raise ValueError("nothing that waits to be sent is there")
    return units


def units_to_receive(
    lines: Mapping[str, Progress], received: Mapping[str, int] | None, missing: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Units received and missing by SKU: as told, or all that is on its way and not missing.

    Raises ValueError for more than is on its way, and when nothing is told.
    """
    if received is None:
        received = {sku: max(0, line.on_the_way - missing.get(sku, 0)) for sku, line in lines.items()}
    told = {sku: (received.get(sku, 0), missing.get(sku, 0)) for sku in {*received, *missing}}
    for sku, counts in told.items():
        coming = lines[sku].on_the_way if sku in lines else 0
        if sum(counts) > coming:
            raise ValueError(f"{coming} units of {sku} are on their way, not {sum(counts)}")
    told = {sku: counts for sku, counts in sorted(told.items()) if sum(counts)}
    if not told:
        raise ValueError("nothing is on its way")
    return told
