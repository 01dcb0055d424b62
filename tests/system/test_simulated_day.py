"""Hours of a gateway in seconds, with its power, network, broker and stream failing: nothing lost, nothing twice."""

import subprocess
import sys

import pytest

from tests.services.stacks import parse

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_hours_of_outages_lose_nothing_and_store_nothing_twice() -> None:
    """The whole day is `shelfpulse bench day`; six hours at 500 times their speed see each kind of outage."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "bench", "day", "--hours", "6", "--speed", "500", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = parse(done.stdout)
    assert (told["lost"], told["twice"], told["waiting"], told["verified"]) == (0, 0, 0, True)
    assert {"power", "network", "broker", "stream"} <= told["outages"].keys()
    assert told["bulk_readings"] > 0, "some readings were taken while offline"
    assert told["event_frames"] > 0
    assert told["readings"] > 10_000
