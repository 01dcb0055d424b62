"""Levels for demand of which the leftover is sold slowly cost the least, and come down to the newsvendor's."""

from statistics import NormalDist

import numpy as np
import pytest

from stream.policy.leftover import LumpyDemand, levels


def lumpy(median: float, spread: float, usual: float, slack: float) -> LumpyDemand:
    return LumpyDemand(np.array([median]), np.array([spread]), np.array([usual]), np.array([slack]))


def test_a_level_costs_least_when_its_leftover_is_held_until_usual_demand_has_used_it_up() -> None:
    median, spread, usual, slack, ratio = 500.0, 0.7, 60.0, 80.0, 19.0
    shares = (np.arange(20_000) + 0.5) / 20_000
    demand = median * np.exp(spread * np.array([NormalDist().inv_cdf(share) for share in shares]))

    def cost(level: float) -> float:
        lost = np.maximum(demand - level, 0.0)
        over = np.maximum(level - demand, 0.0)
        # The units beyond the slack leave one after another, ``usual`` a period: a triangle.
        later = np.maximum(level - demand - slack, 0.0) ** 2 / (2 * usual)
        return float((ratio * lost + over + later).mean())

    tried = np.arange(400.0, 2_500.0, 5.0)
    best = tried[np.argmin([cost(level) for level in tried])]
    found = levels(lumpy(median, spread, usual, slack), np.array([ratio]))[0, 0]
    assert found == pytest.approx(best, rel=0.01)
    newsvendor = median * np.exp(spread * NormalDist().inv_cdf(ratio / (ratio + 1)))
    assert found < 0.9 * newsvendor, "a leftover that stays for weeks is worth less stock"


@pytest.mark.parametrize("ratio", [1.0, 4.0, 19.0, 60.0])
def test_with_a_leftover_that_is_used_up_at_once_it_is_the_newsvendors_level(ratio: float) -> None:
    found = levels(lumpy(100.0, 0.3, 1e9, 0.0), np.array([ratio]))[0, 0]
    assert found == pytest.approx(100.0 * np.exp(0.3 * NormalDist().inv_cdf(ratio / (ratio + 1))), rel=0.01)


def test_levels_rise_with_the_price_of_a_lost_unit_and_are_finite_for_any_demand() -> None:
    ratios = np.array([0.5, 1.0, 19.0, 1e6])
    rng = np.random.default_rng(4)
    median = rng.choice(np.array([0.0, 1e-12, 3.0, 1e9]), 200).astype(np.float64)
    wild = LumpyDemand(median, rng.uniform(0, 5, 200), rng.uniform(0, 9, 200), rng.uniform(0, 1e6, 200))
    found = levels(wild, ratios)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (np.diff(found, axis=1) >= -1e-9 * found[:, 1:]).all()
