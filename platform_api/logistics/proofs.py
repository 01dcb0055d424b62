"""What a proof of delivery says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


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
