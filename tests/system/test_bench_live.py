"""``shelfpulse bench live`` on a small scale: every viewer is told every sale."""

import pytest

from deploy.bench.live import Plan, run_live

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_every_viewer_is_told_every_sale_and_the_account_of_it_is_drawn_up() -> None:
    plan = Plan(viewers=12, seconds=4.0, rate=10.0, gateways=4, seed=1, dsn="")
    result = run_live(plan, lambda _: None)
    assert result.sound
    assert (result.viewers, result.missed) == (12, 0)
    assert result.sales >= 5
    assert 0 < result.p50_ms <= result.p99_ms
    assert result.cpu_percent > 0
    assert result.tier == "plain"
