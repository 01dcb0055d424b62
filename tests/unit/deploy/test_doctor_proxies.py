"""What doctor says of the proxies that the API believes."""

import pytest

from deploy.doctor.finding import Level
from deploy.doctor.machine import check_proxies


@pytest.mark.parametrize(
    ("believed", "levels"),
    [
        ("", []),
        ("127.0.0.1,::1", [Level.OK]),
        ("172.18.0.1, 10.244.0.0/16", [Level.OK]),
        ("*", [Level.WARN]),
        ("10.0.0.1,*", [Level.WARN]),
        ("proxy.internal", [Level.WARN]),
        ("10.244.1.2/16", [Level.WARN]),
    ],
)
def test_whoever_believes_everybody_or_nobody_by_mistake_is_told(believed: str, levels: list[Level]) -> None:
    assert [finding.level for finding in check_proxies(believed)] == levels
