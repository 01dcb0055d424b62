"""Access tokens, refresh tokens and API keys as text. Pure: time and randomness are arguments."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import jwt

ACCESS_LIFE: Final = timedelta(minutes=15)
ACCESS_MAX_CHARS: Final = 2_048
REFRESH_BYTES: Final = 32
KEY_PREFIX_CHARS: Final = 8
KEY_SECRET_BYTES: Final = 32

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "shelfpulse"
_KEY = re.compile(r"^spk_(test_)?([a-z0-9]{8})_([A-Za-z0-9_-]{20,64})$")


class TokenError(ValueError):
    """A token that is not ours, or no longer valid."""


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token says: who, and until when (aware UTC)."""

    user_id: UUID
    expires_at: datetime


def issue_access(user_id: UUID, *, secret: str, now: datetime) -> tuple[str, Access]:
    """A signed access token of ACCESS_LIFE and what it says."""
    access = Access(user_id, (now + ACCESS_LIFE).replace(microsecond=0))
    claims = {"iss": _ISSUER, "sub": str(user_id), "iat": int(now.timestamp()), "exp": access.expires_at}
    return jwt.encode(claims, secret, algorithm=_ALGORITHM), access


def read_access(token: str, *, secret: str, now: datetime) -> Access:
    """Check an access token. Raises TokenError."""
    if len(token) > ACCESS_MAX_CHARS:
        msg = "token is too long"
        raise TokenError(msg)
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            issuer=_ISSUER,
            # Expiry is judged below against the given time, not against the library's clock.
            options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
        )
        access = Access(UUID(str(claims["sub"])), datetime.fromtimestamp(int(claims["exp"]), tz=now.tzinfo))
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, OSError) as error:
        msg = "access token is not valid"
        raise TokenError(msg) from error
    if access.expires_at <= now:
        msg = "access token has expired"
        raise TokenError(msg)
    return access


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key taken apart: ``prefix`` finds its row, ``digest`` proves it; ``sandbox``: it says it is a trial's."""

    prefix: str
    digest: bytes
    sandbox: bool


def format_key(prefix: str, secret: str, *, sandbox: bool) -> str:
    """The key as its owner sees it, once: one of a sandbox cannot be mistaken for one that does something."""
    return f"spk_{'test_' if sandbox else ''}{prefix}_{secret}"


def read_key(text: str) -> ApiKey:
    """Take an API key apart. Raises TokenError."""
    found = _KEY.fullmatch(text)
    if found is None:
        msg = "not an API key"
        raise TokenError(msg)
    return ApiKey(found[2], digest(found[3]), sandbox=found[1] is not None)


def digest(secret: str) -> bytes:
    """What is stored of a random secret: SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()
