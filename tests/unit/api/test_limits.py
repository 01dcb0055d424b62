import pytest

from platform_api.kit.errors import ApiError
from platform_api.kit.limits import CLIENTS_MAX, LOGINS_BURST, Bucket, Limits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_grants_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(2.0, 3, clock=clock)
    assert [bucket.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take("a") == pytest.approx(0.5)
    clock.now = 0.5
    assert bucket.take("a") == 0.0
    assert bucket.take("a") > 0


def test_one_client_never_spends_what_is_anothers() -> None:
    bucket = Bucket(1.0, 1, clock=Clock())
    assert bucket.take("a") == 0.0
    assert bucket.take("b") == 0.0


def test_a_bucket_remembers_a_bounded_number_of_clients() -> None:
    bucket = Bucket(1.0, 1, clock=Clock())
    for number in range(CLIENTS_MAX + 100):
        bucket.take(str(number))
    assert len(bucket._levels) == CLIENTS_MAX


def test_guessing_one_login_from_many_addresses_is_slowed_down() -> None:
    limits = Limits()
    for number in range(LOGINS_BURST):
        limits.take_login("ops@acme", f"10.0.0.{number}")
    with pytest.raises(ApiError) as refused:
        limits.take_login("OPS@acme", "10.0.1.1")
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_who_is_stopped_by_their_address_does_not_lock_out_a_login() -> None:
    limits = Limits()
    for number in range(LOGINS_BURST):
        limits.take_login(f"nobody-{number}", "10.0.0.1")
    for _ in range(LOGINS_BURST * 2):
        with pytest.raises(ApiError):
            limits.take_login("ops@acme", "10.0.0.1")
    limits.take_login("ops@acme", "10.0.0.2")


def test_a_client_does_not_get_more_attempts_by_the_many_addresses_of_its_network() -> None:
    limits = Limits()
    for number in range(LOGINS_BURST):
        limits.take_login(f"nobody-{number}", f"2001:db8::{number}")
    with pytest.raises(ApiError):
        limits.take_login("ops@acme", "2001:db8::ffff")
    limits.take_login("ops@acme", "2001:db8:0:1::1")
    limits.take_login("ops@acme", "fe80::1%eth0")
