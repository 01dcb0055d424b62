"""What a proof of delivery says, and what its pictures are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who took a delivery, when and where, and what of it: units accepted by line (None: all that was there).

    ``missing`` are units by line that were not there; the rest was refused.
    """

    signer: str
    at: datetime
    accepted: Mapping[int, int] | None
    missing: Mapping[int, int] | None = None
    lat: float | None = None
    lon: float | None = None
    signature: bytes | None = None
    photo: bytes | None = None
    note: str = ""


class ProofError(ValueError):
    """A proof that speaks of units that were not sent."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of units of a line at the door."""

    accepted: int
    missing: int
    refused: int

    @property
    def lacking(self) -> int:
        """Units that the buyer did not get, and does not owe."""
        return self.missing + self.refused


def taken_of(sent: Mapping[int, int], proof: Proof) -> dict[int, Taken]:
    """What a proof says of the units that were sent, by line. Raises ProofError."""
    missing = proof.missing or {}
    accepted = proof.accepted
    if accepted is None:
        accepted = {number: max(0, units - missing.get(number, 0)) for number, units in sent.items()}
    for number in sorted({*accepted, *missing}):
        told = accepted.get(number, 0) + missing.get(number, 0)
        if told > sent.get(number, -1):
            raise ProofError(f"line {number}: {sent.get(number, 0)} units were sent, not {told}")
    return {
        number: Taken(
            accepted=accepted.get(number, 0),
            missing=missing.get(number, 0),
            refused=units - accepted.get(number, 0) - missing.get(number, 0),
        )
        for number, units in sent.items()
    }


IMAGES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
"""What a picture begins with, and its media type: nothing that a browser would run."""


def media_type_of(picture: bytes) -> str | None:
    """Media type of a picture by its first bytes, None for anything that is none."""
    for beginning, media_type in IMAGES:
        if picture.startswith(beginning):
            return media_type
    return None
