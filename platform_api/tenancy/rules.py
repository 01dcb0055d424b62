"""Decisions about sessions. Pure."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from platform_api.kit.auth import Role

REFRESH_LIFE: Final = timedelta(days=14)
REUSE_LEEWAY: Final = timedelta(seconds=20)
"""Two tabs, or a browser whose answer was lost, may present a token twice within this time."""
PASSWORD_MIN_CHARS: Final = 10
PASSWORD_MAX_CHARS: Final = 128
LOGIN_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{1,63}$"

_LOGIN = re.compile(LOGIN_PATTERN)


class Verdict(StrEnum):
    """What becomes of a refresh token that is presented."""

    ROTATE = "rotate"
    """It is exchanged for a new one of its family."""
    EXPIRED = "expired"
    REUSED = "reused"
    """Someone presents a token that was exchanged long ago: stolen, on one side or the other. The family ends."""


def judge_refresh(*, expires_at: datetime, used_at: datetime | None, now: datetime) -> Verdict:
    """Verdict over a known refresh token (all aware UTC).

    A token used before is a theft unless it was within REUSE_LEEWAY, expired or not (RFC 9700, section 4.14.2).
    """
    if used_at is not None and now - used_at > REUSE_LEEWAY:
        return Verdict.REUSED
    return Verdict.EXPIRED if expires_at <= now else Verdict.ROTATE


def is_login(text: str) -> bool:
    """Whether ``text`` may be a login name."""
    return _LOGIN.fullmatch(text) is not None


def password_fault(password: str) -> str | None:
    """What is wrong with a new password, None when it will do (NIST SP 800-63B: length, no composition rules)."""
    if len(password) < PASSWORD_MIN_CHARS:
        return f"a password has at least {PASSWORD_MIN_CHARS} characters"
    if len(password) > PASSWORD_MAX_CHARS:
        return f"a password has at most {PASSWORD_MAX_CHARS} characters"
    return None


def role_fault(role: Role, *, has_org: bool) -> str | None:
    """What is wrong with a role and its place, None when they fit: only people of the whole tenant have none."""
    if not has_org and role in {Role.DEALER, Role.REP, Role.STORE, Role.DEVICE}:
        return f"a {role} belongs to an organisation"
    return None
