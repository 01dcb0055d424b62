"""The benchmark of a dashboard's queries, small: that it runs, and that no request of it fails."""

import pytest

from deploy.bench.query import DASHBOARD, Plan, run_query


@pytest.mark.system
def test_every_query_of_a_dashboard_is_answered_over_a_generated_past() -> None:
    said: list[str] = []
    result = run_query(Plan(rows=100_000, asks=10, seed=1, dsn=""), said.append)
    assert result.errors == 0, said
    assert result.queries.keys() == {question.name for question in DASHBOARD}
    assert result.rows >= 100_000
    assert result.queries["a quarter of an hour, raw"].bytes > 10_000
    assert result.queries["latest by site"].bytes > 1_000
    assert result.queries["availability of a site, a day"].bytes > 1_000
