"""The columnstore where there is one: that a day of a store shrinks, and what is said where none is."""

import os

import pytest

from contracts.errors import UserError
from deploy.bench.compress import Plan, run_compress
from stream.storage import Tier
from tests.services.databases import Server
from tests.services.tiers import SERVERS


def test_readings_of_a_store_shrink_in_the_columnstore(tier: Tier, postgres_server: Server) -> None:
    server = postgres_server.dsn if tier is Tier.PLAIN else os.environ[SERVERS[tier]]
    plan = Plan(hours=2.0, poll_s=10.0, dsn=server)
    said: list[str] = []
    if tier is not Tier.TSL:
        with pytest.raises(UserError, match=f"tier {tier} compresses nothing"):
            run_compress(plan, said.append)
        return
    result = run_compress(plan, said.append)
    assert result.ratio > 3
    assert result.ratio == pytest.approx(result.before_bytes / result.after_bytes, rel=0.01)
    assert result.readings < result.polled
