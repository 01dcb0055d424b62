from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.kit import tokens
from platform_api.tenancy.rules import (
    PASSWORD_MAX_CHARS,
    PASSWORD_MIN_CHARS,
    REUSE_LEEWAY,
    Verdict,
    is_login,
    judge_refresh,
    password_fault,
)

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
SECRET = "s" * 40
USER = UUID(int=7)
MOMENT = timedelta(microseconds=1)


def test_an_unused_token_is_exchanged_until_it_expires() -> None:
    assert judge_refresh(expires_at=NOW + MOMENT, used_at=None, now=NOW) is Verdict.ROTATE
    assert judge_refresh(expires_at=NOW, used_at=None, now=NOW) is Verdict.EXPIRED


def test_two_tabs_may_present_one_token_within_the_leeway() -> None:
    later = NOW + timedelta(days=1)
    assert judge_refresh(expires_at=later, used_at=NOW - REUSE_LEEWAY, now=NOW) is Verdict.ROTATE
    assert judge_refresh(expires_at=later, used_at=NOW - REUSE_LEEWAY - MOMENT, now=NOW) is Verdict.REUSED


def test_a_used_token_is_a_theft_even_when_it_has_expired() -> None:
    assert judge_refresh(expires_at=NOW - MOMENT, used_at=NOW - timedelta(days=2), now=NOW) is Verdict.REUSED


def test_an_access_token_says_whose_it_is_until_it_expires() -> None:
    text, access = tokens.issue_access(USER, secret=SECRET, now=NOW)
    assert tokens.read_access(text, secret=SECRET, now=NOW) == access
    assert access.user_id == USER
    with pytest.raises(tokens.TokenError, match="expired"):
        tokens.read_access(text, secret=SECRET, now=NOW + tokens.ACCESS_LIFE)


def test_a_token_signed_with_another_key_or_none_is_refused() -> None:
    text, _ = tokens.issue_access(USER, secret="t" * 40, now=NOW)
    head_of_alg_none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    for forged in (text, f"{head_of_alg_none}.{text.split('.')[1]}."):
        with pytest.raises(tokens.TokenError):
            tokens.read_access(forged, secret=SECRET, now=NOW)


@given(st.text(max_size=3_000))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    with pytest.raises(tokens.TokenError):
        tokens.read_access(text, secret=SECRET, now=NOW)
    with pytest.raises(tokens.TokenError):
        tokens.read_key(text)


def test_a_key_is_found_by_its_prefix_and_proven_by_its_secret() -> None:
    secret = "A_-" + "b" * 40
    key = tokens.read_key(tokens.format_key("abcd1234", secret, sandbox=False))
    assert key.prefix == "abcd1234"
    assert key.digest == tokens.digest(secret)
    assert secret.encode() not in key.digest


def test_a_key_of_a_sandbox_says_so_in_its_first_letters() -> None:
    text = tokens.format_key("abcd1234", "b" * 43, sandbox=True)
    assert text.startswith("spk_test_")
    assert tokens.read_key(text).sandbox
    assert not tokens.read_key(text.replace("test_", "")).sandbox
    assert tokens.read_key(text).prefix == "abcd1234"


def test_passwords_are_judged_by_length_alone() -> None:
    assert password_fault("x" * (PASSWORD_MIN_CHARS - 1)) is not None
    assert password_fault("x" * PASSWORD_MIN_CHARS) is None
    assert password_fault("x" * (PASSWORD_MAX_CHARS + 1)) is not None


@pytest.mark.parametrize("text", ["", "x", "-rf", "a b", "ops@acme\n", "x" * 65, "名字"])
def test_what_cannot_be_a_login_is_refused(text: str) -> None:
    assert not is_login(text)
