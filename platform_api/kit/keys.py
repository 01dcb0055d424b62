"""Keys of what people create: UUIDv7, so that they sort by age and indexes grow at one end."""

import secrets
import time
from uuid import UUID


def uuid7(now_ms: int, entropy: int) -> UUID:
    """UUID version 7 of a Unix time in milliseconds and 74 random bits (RFC 9562, section 5.7)."""
    high = (now_ms & (2**48 - 1)) << 16 | 0x7 << 12 | (entropy >> 62 & 0xFFF)
    low = 0b10 << 62 | (entropy & (2**62 - 1))
    return UUID(int=high << 64 | low)


def new_key() -> UUID:
    """A new key, now."""
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))
