"""What a difference of weight may mean: nothing, the simplest thing that fits, or what nobody can say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.shelf.hypotheses import explain
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan

COLA = Article("cola-330", 350.0, 2.0)
ZERO = Article("zero-330", 344.0, 2.0)
TEA = Article("tea-250", 250.0, 2.0)
QUIET_G, NOISY_G = 0.5, 4.4


def told(delta_g: float, noise_sd_g: float, *neighbours: Article, memory: SlotMemory | None = None) -> object:
    explanation = explain(delta_g, noise_sd_g, SlotPlan("s", COLA, 20, neighbours), memory or SlotMemory(10))
    if explanation.is_nothing:
        return "nothing"
    if explanation.guess is None:
        return "unknown"
    return explanation.guess.own, dict(explanation.guess.other)


@pytest.mark.parametrize(
    ("delta_g", "noise_sd_g", "meaning"),
    [
        (0.0, QUIET_G, "nothing"),
        (6.4, QUIET_G, "nothing"),  # -350 + 344 fits better, and is no event
        (-6.4, QUIET_G, "nothing"),
        (6.4, NOISY_G, "nothing"),
        (12.0, NOISY_G, "nothing"),
        (12.0, QUIET_G, "unknown"),  # -700 + 2 * 344: two of a neighbour's at once is no hypothesis
        (10.0, QUIET_G, "unknown"),  # more than an exchange explains, less than what rules it out
        (-350.0, QUIET_G, (-1, {})),
        (-356.0, QUIET_G, (-1, {})),  # -700 + 344 fits better, and is far less likely
        (-358.0, QUIET_G, (-1, {})),  # one unit in 10,000, but nothing else would do
        (-359.0, QUIET_G, "unknown"),
        (-700.0, NOISY_G, (-2, {})),
        (350.0, NOISY_G, (1, {})),
        (1_050.0, NOISY_G, (3, {})),
        (-175.0, NOISY_G, "unknown"),
    ],
)
def test_beside_an_article_of_nearly_the_same_weight_the_simplest_meaning_wins(
    delta_g: float, noise_sd_g: float, meaning: object
) -> None:
    assert told(delta_g, noise_sd_g, ZERO) == meaning


@pytest.mark.parametrize(
    ("delta_g", "meaning"),
    [
        (250.0, (0, {"tea-250": 1})),
        (-100.0, (-1, {"tea-250": 1})),
        (100.0, (1, {"tea-250": -1})),
        (-450.0, (-2, {"tea-250": 1})),
        (-350.0, (-1, {})),
    ],
)
def test_articles_that_weigh_otherwise_are_told_apart(delta_g: float, meaning: object) -> None:
    memory = SlotMemory(10, foreign={"tea-250": 1})
    assert told(delta_g, QUIET_G, TEA, memory=memory) == meaning


@given(st.floats(-2_000.0, 2_000.0), st.floats(0.2, 10.0), st.floats(20.0, 500.0))
def test_a_swap_is_never_within_what_no_event_explains(delta_g: float, noise_sd_g: float, beside_g: float) -> None:
    plan = SlotPlan("s", COLA, 20, (Article("beside", beside_g, 2.0),))
    guess = explain(delta_g, noise_sd_g, plan, SlotMemory(10)).guess
    if guess is not None and guess.is_swap:
        assert abs(delta_g) > 4.5 * (2 * COLA.sd_g**2 + noise_sd_g**2) ** 0.5
        assert guess.residual_sd <= 2.0


def test_a_load_that_is_too_small_to_name_does_not_leave() -> None:
    assert told(-20.0, QUIET_G, memory=SlotMemory(10, loads_g=[20.0])) == "unknown"
    assert told(-180.0, QUIET_G, memory=SlotMemory(10, loads_g=[180.0])) == (0, {})


def test_the_likelier_of_two_meanings_gets_the_higher_confidence() -> None:
    plan = SlotPlan("s", COLA, 20)
    near, far = (explain(delta_g, QUIET_G, plan, SlotMemory(10)).conf for delta_g in (-350.0, -355.5))
    assert near > far
