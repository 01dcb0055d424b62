"""What a proof of delivery says, and what its pictures are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who took a delivery, when and where, and what of it: units accepted by line (None: all)."""

    signer: str
    at: datetime
    accepted: Mapping[int, int] | None
    lat: float | None = None
    lon: float | None = None
    signature: bytes | None = None
    photo: bytes | None = None
    note: str = ""


IMAGES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
"""What a picture begins with, and its media type: nothing that a browser would run."""


def media_type_of(picture: bytes) -> str | None:
    """Media type of a picture by its first bytes, None for anything that is none."""
    for beginning, media_type in IMAGES:
        if picture.startswith(beginning):
            return media_type
    return None
