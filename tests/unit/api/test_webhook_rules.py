import base64
import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import AnomalyState, ProposalState
from platform_api.finance.service import EntryKind
from platform_api.kit.signatures import is_signed, new_secret, signed_headers
from platform_api.logistics.rules import ShelfVerdict, ShipmentState
from platform_api.orders.return_rules import ReturnState
from platform_api.orders.rules import State
from platform_api.webhooks.delivering import shown
from platform_api.webhooks.rules import REST_S, RETRY_S, STATES, Fate, fate_of, rest_of, wait_of


def test_every_state_of_a_noun_that_is_told_is_a_type_of_event() -> None:
    assert set(STATES["order"]) == set(State)
    assert set(STATES["proposal"]) == set(ProposalState)
    assert set(STATES["anomaly"]) == set(AnomalyState)
    assert set(STATES["receivable"]) == set(EntryKind)
    assert set(STATES["return"]) == set(ReturnState)
    assert set(STATES["shipment"]) == set(ShipmentState) | set(ShelfVerdict) - {ShelfVerdict.WAITING}


@pytest.mark.parametrize(
    ("status", "attempts", "fate"),
    [
        (200, 1, Fate.DELIVERED),
        (204, 10, Fate.DELIVERED),
        (None, 1, Fate.RETRY),
        (302, 1, Fate.RETRY),
        (400, 1, Fate.RETRY),
        (503, len(RETRY_S), Fate.RETRY),
        (503, len(RETRY_S) + 1, Fate.FAILED),
        (410, 1, Fate.GONE),
    ],
)
def test_the_fate_of_a_delivery(status: int | None, attempts: int, fate: Fate) -> None:
    assert fate_of(status, attempts) is fate


def test_attempts_are_spread_over_days() -> None:
    waits = [wait_of(attempt, 0.5, None) for attempt in range(1, len(RETRY_S) + 1)]
    assert waits == sorted(waits)
    assert timedelta(days=2) < sum(waits, timedelta()) < timedelta(days=5)


@given(st.integers(1, len(RETRY_S)), st.floats(0, 1, exclude_max=True), st.none() | st.integers(0, 10**7))
def test_a_wait_is_near_its_step_and_at_least_what_was_asked_for_up_to_a_day(
    attempts: int, chance: float, asked_s: int | None
) -> None:
    wait_s = wait_of(attempts, chance, asked_s).total_seconds()
    assert wait_s >= 0.8 * RETRY_S[attempts - 1]
    assert wait_s >= min(asked_s or 0, 86_400)
    assert wait_s <= max(1.2 * RETRY_S[attempts - 1], 86_400)


def test_a_signature_is_the_one_that_the_standard_describes() -> None:
    key = b"k" * 32
    secret = "whsec_" + base64.b64encode(key).decode()
    at = datetime.now(UTC)
    headers = signed_headers([secret], "msg_1", at, '{"a":"é"}')
    stamp = str(int(at.timestamp()))
    digest = hmac.new(key, f'msg_1.{stamp}.{{"a":"é"}}'.encode(), sha256).digest()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def test_what_was_signed_with_either_of_two_secrets_is_believed_by_who_has_one() -> None:
    former, current = new_secret(), new_secret()
    headers = signed_headers([current, former], "m", datetime.now(UTC), "{}")
    assert is_signed(former, headers, b"{}")
    assert is_signed(current, headers, b"{}")
    assert not is_signed(new_secret(), headers, b"{}")
    assert not is_signed(current, headers, b"{ }")


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_what_was_signed_at_another_time_is_not_believed(age: timedelta) -> None:
    secret = new_secret()
    assert not is_signed(secret, signed_headers([secret], "m", datetime.now(UTC) - age, "{}"), b"{}")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=80), st.binary(max_size=40))
def test_nonsense_is_never_believed_and_never_breaks(message: str, stamp: str, signature: str, body: bytes) -> None:
    headers = {"webhook-id": message, "webhook-timestamp": stamp, "webhook-signature": signature}
    assert not is_signed("whsec_" + "a" * 44, headers, body)
    now = {**headers, "webhook-id": "m", "webhook-timestamp": str(int(datetime.now(UTC).timestamp()))}
    assert not is_signed("whsec_" + "a" * 44, now, body)


def test_money_is_shown_as_the_api_shows_it() -> None:
    assert shown({"total": {"minor": 1230, "currency": "CNY"}, "evidence": {"minor": 1}}) == {
        "total": {"amount": "12.30", "currency": "CNY"},
        "evidence": {"minor": 1},
    }


def test_units_of_skus_whose_names_are_those_of_money_stay_what_they_are() -> None:
    assert shown({"shelf_seen": {"minor": 3, "currency": 5}}) == {"shelf_seen": {"minor": 3, "currency": 5}}


@pytest.mark.parametrize(
    ("failing_s", "asked_s", "rest_s"), [(0, None, REST_S[0]), (400, None, 100), (86_400, None, REST_S[1]), (0, 60, 60)]
)
def test_an_endpoint_rests_the_longer_the_longer_it_fails(failing_s: float, asked_s: int | None, rest_s: float) -> None:
    assert rest_of(timedelta(seconds=failing_s), asked_s) == timedelta(seconds=rest_s)
