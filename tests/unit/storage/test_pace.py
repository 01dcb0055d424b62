"""How often a long task may run."""

from hypothesis import given
from hypothesis import strategies as st

from deploy.worker_metrics import Pace


def test_the_first_round_is_due_at_once() -> None:
    assert Pace(share=0.25).is_due(0.0)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=30), st.floats(0.05, 1.0))
def test_rounds_never_take_more_than_their_share(rounds_s: list[float], share: float) -> None:
    pace = Pace(share=share)
    now_s = 0.0
    for round_s in rounds_s:
        assert pace.is_due(now_s)
        pace.note(now_s, now_s + round_s)
        next_s = now_s + round_s / share
        assert not pace.is_due(next_s - 1e-6 * next_s)
        now_s = next_s + 1e-9 * next_s
    assert sum(rounds_s) <= share * now_s * (1 + 1e-6)
