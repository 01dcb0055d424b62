"""The bench of the edge runs whole and in small."""

import json
import subprocess
import sys

import pytest


def test_a_small_bench_commits_all_that_it_reads() -> None:
    words = ["--devices", "4", "--registers", "5", "--period", "0.2", "--buses", "2", "--seconds", "1", "--json"]
    command = [sys.executable, "-m", "deploy.cli", "bench", "edge", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["readings_written"] == told["readings_committed"] > 0
    assert told["requests_per_cycle"] == pytest.approx(4, rel=0.3), "measured: one request a device and cycle"
    assert told["naive_requests_per_s"] > 3 * told["requests_per_s"]
    assert told["frames_out_of_order"] == 0
