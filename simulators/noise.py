"""What a bad line does to bytes: bits flip, bytes get lost, garbage comes before them. Pure."""

from dataclasses import dataclass
from random import Random
from typing import Final

GARBAGE_BYTES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Noise:
    """How likely each fault is for one message, 0 … 1."""

    flip: float = 0.0
    """One bit is inverted: a bad CRC."""
    cut: float = 0.0
    """Its last bytes are lost."""
    garbage: float = 0.0
    """Up to ``GARBAGE_BYTES_MAX`` random bytes come before it."""


QUIET: Final = Noise()


def disturb(data: bytes, noise: Noise, rng: Random) -> bytes:
    """The bytes that arrive when ``data`` is sent over such a line; the same object when nothing happens to them."""
    if not data or noise == QUIET:
        return data
    if rng.random() < noise.flip:
        place = rng.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        data = bytes(flipped)
    if rng.random() < noise.cut:
        data = data[: rng.randrange(len(data))]
    if rng.random() < noise.garbage:
        data = rng.randbytes(rng.randint(1, GARBAGE_BYTES_MAX)) + data
    return data
