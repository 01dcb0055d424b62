"""Decisions about claims and commands. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

CLAIM_LIFE_S: Final = 24 * 3_600
CLAIM_LIFE_MIN_S: Final = 300
CLAIM_LIFE_MAX_S: Final = 7 * 24 * 3_600
REDEEM_AGAIN: Final = timedelta(minutes=10)
"""How long the machine that redeemed a code may do so again: its answer may have been lost on the way."""
COMMAND_LIFE_S: Final = 300
COMMAND_LIFE_MIN_S: Final = 5
COMMAND_LIFE_MAX_S: Final = 7 * 24 * 3_600
ARGS_MAX_BYTES: Final = 16 * 1024
WAITING_MAX: Final = 100
"""Commands of one gateway without a final answer."""


class Verdict(StrEnum):
    """What becomes of a claim code that is presented. The client learns only whether it is GRANTED."""

    GRANTED = "granted"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"
    """Its gateway is: an invitation does not let it in again."""


class CredentialState(StrEnum):
    """Whether a gateway can prove itself to the broker."""

    NONE = "none"
    INVITED = "invited"
    LIVE = "live"
    REVOKED = "revoked"


class ClaimState(StrEnum):
    """What a claim code is good for."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"


def judge_claim(
    *, expires_at: datetime, used_at: datetime | None, used_by: str | None, revoked: bool, machine: str, now: datetime
) -> Verdict:
    """Verdict over a known code that ``machine`` presents (all times aware UTC).

    A used code is good once more for the machine that used it, within REDEEM_AGAIN and until it expires (which a newer
    invitation and a revocation hasten).
    """
    if revoked:
        return Verdict.REVOKED
    if now >= expires_at:
        return Verdict.EXPIRED
    if used_at is not None and (used_by != machine or now - used_at > REDEEM_AGAIN):
        return Verdict.USED
    return Verdict.GRANTED


def claim_state(*, expires_at: datetime, used_at: datetime | None, now: datetime) -> ClaimState:
    """State of a claim as people see it."""
    if used_at is not None:
        return ClaimState.USED
    return ClaimState.OPEN if now < expires_at else ClaimState.EXPIRED


def credential_state(*, revoked: bool, issued: bool, live: bool, invited: bool) -> CredentialState:
    """State of a gateway's credential.

    ``revoked``: the gateway is; ``issued``: it ever had a credential; ``live``: it has one now; ``invited``: a code
    waits to be redeemed.
    """
    if revoked:
        return CredentialState.REVOKED
    if live:
        return CredentialState.LIVE
    if invited:
        return CredentialState.INVITED
    return CredentialState.REVOKED if issued else CredentialState.NONE
