"""The run of ``shelfpulse bench faults``, small: whatever dies, nothing is lost and nothing is there twice."""

import subprocess
import sys
from typing import Any

import pytest

from stream.storage import Tier
from tests.services.stacks import parse
from tests.services.tiers import SERVERS, server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def run(*options: str) -> dict[str, Any]:
    """The whole run is two million readings; these are what a minute can see."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "bench", "faults", "--json", "--gateways", "40", "--readings", "80000",
         "--rate", "8000", *options],
        capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return parse(done.stdout)


def test_a_load_over_which_stream_broker_and_database_die_is_there_once() -> None:
    told = run("--kills", "4", "--seed", "11")
    assert (told["missing"], told["duplicates"], told["verified"]) == (0, 0, True)
    assert told["readings"] == told["committed"] == 80_000
    assert sum(told["kills"].values()) >= 3
    assert told["verify_s"] < 30


def test_a_stream_of_two_processes_whose_members_die_stores_everything_once() -> None:
    told = run("--kills", "4", "--seed", "12", "--processes", "2")
    assert (told["missing"], told["duplicates"], told["verified"], told["processes"]) == (0, 0, True, 2)


@pytest.mark.parametrize("tier", list(SERVERS), ids=str)
def test_a_load_over_which_stream_and_broker_die_is_there_once_on_timescale(tier: Tier) -> None:
    told = run("--kills", "3", "--seed", "13", "--dsn", server_of(tier))
    assert (told["missing"], told["duplicates"], told["verified"], told["tier"]) == (0, 0, True, tier)
