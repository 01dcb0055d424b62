"""Whether a claim code is good, and what a gateway's credential looks like to people."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import bcrypt
import pytest

from contracts.provision import CODE_PATTERN
from platform_api.devices import secrets
from platform_api.devices.rules import (
    REDEEM_AGAIN,
    ClaimState,
    CredentialState,
    Verdict,
    claim_state,
    credential_state,
    judge_claim,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OPEN: dict[str, Any] = {"expires_at": NOW + SECOND, "used_at": None, "used_by": None, "revoked": False}
USED: dict[str, Any] = {**OPEN, "used_by": "till"}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (OPEN, Verdict.GRANTED),
        ({**OPEN, "expires_at": NOW}, Verdict.EXPIRED),
        ({**OPEN, "revoked": True}, Verdict.REVOKED),
        ({**USED, "used_at": NOW - REDEEM_AGAIN}, Verdict.GRANTED),
        ({**USED, "used_at": NOW - REDEEM_AGAIN - SECOND}, Verdict.USED),
        ({**USED, "used_at": NOW, "used_by": "other"}, Verdict.USED),
        ({**USED, "used_at": NOW, "expires_at": NOW}, Verdict.EXPIRED),
        ({**USED, "used_at": NOW, "revoked": True}, Verdict.REVOKED),
    ],
)
def test_a_code_is_good_once_and_again_for_its_machine_for_a_while(claim: dict[str, Any], verdict: Verdict) -> None:
    assert judge_claim(**claim, machine="till", now=NOW) is verdict


def test_people_see_whether_a_claim_is_open_used_or_expired() -> None:
    assert claim_state(expires_at=NOW + SECOND, used_at=None, now=NOW) is ClaimState.OPEN
    assert claim_state(expires_at=NOW, used_at=None, now=NOW) is ClaimState.EXPIRED
    assert claim_state(expires_at=NOW, used_at=NOW - SECOND, now=NOW) is ClaimState.USED


@pytest.mark.parametrize(
    ("true", "state"),
    [
        ("", CredentialState.NONE),
        ("invited", CredentialState.INVITED),
        ("issued live invited", CredentialState.LIVE),
        ("issued", CredentialState.REVOKED),
        ("issued invited", CredentialState.INVITED),
        ("revoked issued live invited", CredentialState.REVOKED),
    ],
)
def test_a_credential_is_what_the_broker_would_say(true: str, state: CredentialState) -> None:
    given = {name: name in true.split() for name in ("revoked", "issued", "live", "invited")}
    assert credential_state(**given) is state


def test_codes_have_the_form_of_the_contract_and_are_never_the_same() -> None:
    codes = {secrets.new_code() for _ in range(1_000)}
    assert len(codes) == 1_000
    assert all(re.match(CODE_PATTERN, code) for code in codes)


def test_a_secret_is_hashed_for_both_brokers_with_fresh_salts() -> None:
    secret = secrets.new_secret()
    one, two = secrets.hash_secret(secret), secrets.hash_secret(secret)
    assert one.pbkdf2 != two.pbkdf2
    assert one.bcrypt != two.bcrypt
    assert secrets.is_secret_of(secret, one.pbkdf2)
    assert bcrypt.checkpw(secret.encode(), one.bcrypt.encode())
    assert len(secret.encode()) <= 72, "bcrypt reads no more"
