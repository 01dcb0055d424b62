"""A real release, made from this tree, starts without anything of the environment that made it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.releases import building
from edge_agent.update.archive import unpack
from edge_agent.update.guard import PYTHON_VARIABLE

LOCK = building.SOURCE / "requirements/edge.txt"
EXAMPLE = building.SOURCE / "edge_agent/examples/edge.toml"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> building.Built:
    return building.build(tmp_path_factory.mktemp("built") / "release.tar.gz", "9.8.7", LOCK)


def test_a_real_release_starts_and_reads_a_configuration(built: building.Built, tmp_path: Path) -> None:
    assert "cryptography" in built.packages
    unpack(built.archive, tmp_path / "tree", max_bytes=built.unpacked)
    program, environ = str(tmp_path / "tree/bin/shelfpulse"), {**os.environ, PYTHON_VARIABLE: sys.executable}
    said = subprocess.run([program, "--version"], env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "shelfpulse 9.8.7\n"
    shown = subprocess.run(
        [program, "edge", "config", "show", "--config", str(EXAMPLE)],
        env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    members = {"b": building.Member(b"2"), "a": building.Member(b"1", building.PROGRAM)}
    building.write(tmp_path / "one.tar.gz", members)
    building.write(tmp_path / "two.tar.gz", dict(reversed(members.items())))
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
