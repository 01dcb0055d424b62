"""What may enter, and why not."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.frames import Event, EventKind, Reason
from contracts.topics import GatewayAddress
from stream.clean import (
    GATEWAY_CHANNELS_MAX,
    Gateway,
    check_channels,
    check_gateway,
    check_texts,
    check_times,
    is_fast_clock,
    limits_at,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
LIMITS = limits_at(NOW, timedelta(days=400), timedelta(minutes=5))
ADDRESS = GatewayAddress("acme", "s1", "g1")
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Gateway("s1", revoked=False), None),
        (Gateway("s2", revoked=False), Reason.WRONG_SITE),
        (Gateway("s1", revoked=True), Reason.UNKNOWN_GATEWAY),
        (None, Reason.UNKNOWN_GATEWAY),
    ],
)
def test_a_gateway_speaks_only_from_its_site(known: Gateway | None, reason: Reason | None) -> None:
    fault = check_gateway(ADDRESS, known)
    assert (None if fault is None else fault.reason) is reason


@pytest.mark.parametrize(
    ("first_ms", "last_ms", "accepted"),
    [
        (NOW_MS, NOW_MS, True),
        (NOW_MS - 400 * DAY_MS, NOW_MS, True),
        (NOW_MS - 400 * DAY_MS - 1, NOW_MS, False),
        (NOW_MS, NOW_MS + 300_000, True),
        (NOW_MS, NOW_MS + 300_001, False),
        (0, 0, False),
    ],
)
def test_times_from_retention_to_five_minutes_ahead(first_ms: int, last_ms: int, *, accepted: bool) -> None:
    assert (check_times(first_ms, last_ms, LIMITS) is None) is accepted


def test_an_old_reading_is_no_fast_clock() -> None:
    assert is_fast_clock(NOW_MS + 3_600_000, LIMITS)
    assert not is_fast_clock(5_000, LIMITS)


@pytest.mark.parametrize(
    ("why", "other", "accepted"),
    [
        ("counted 数", {}, True),
        ("a\x00b", {}, False),
        ("", {"co\x00la": 1}, False),
        ("\ud800", {}, False),
        ("\t", {}, True),
    ],
)
def test_texts_that_the_database_cannot_hold(why: str, other: dict[str, int], *, accepted: bool) -> None:
    event = Event(id="e", d=0, slot="b1", kind=EventKind.ADJUST, units=0, why=why, other=other)
    assert (check_texts([event]) is None) is accepted


def test_a_gateway_has_ten_thousand_channels() -> None:
    assert check_channels(GATEWAY_CHANNELS_MAX - 1, 1) is None
    fault = check_channels(GATEWAY_CHANNELS_MAX, 1)
    assert fault is not None
    assert fault.reason is Reason.TOO_MANY_CHANNELS


def test_a_time_in_seconds_is_told_from_an_old_one() -> None:
    seconds = LIMITS.latest_ms // 1000
    told = check_times(seconds, seconds + 200, LIMITS)
    assert told is not None
    assert (told.reason, "milliseconds" in told.detail) == (Reason.BAD_TIME, True)
    old = check_times(LIMITS.earliest_ms - 1, LIMITS.earliest_ms, LIMITS)
    assert old is not None
    assert "before retention" in old.detail
