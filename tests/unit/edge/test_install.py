"""The unit is strict, the plan is complete, and a package gets files only."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import UserError
from edge_agent.install.steps import MakeFolder, Run, WriteFile, carry_out, plan
from edge_agent.install.unit import unit

REPOSITORY = Path(__file__).parents[3]
PROGRAM, CONFIG = Path("/usr/lib/shelfpulse/bin/shelfpulse"), Path("/etc/shelfpulse/edge.toml")
EXPOSURE_MAX = 1.7
"""Of 10, by systemd's own reckoning; what remains is the network, the serial lines, and looking at the clock."""


def test_the_unit_that_packages_carry_is_the_one_that_install_writes() -> None:
    carried = (REPOSITORY / "deploy/systemd/shelfpulse-edge.service").read_text()
    assert carried == unit(program=PROGRAM, config=CONFIG, user="shelfpulse")


def test_systemd_finds_the_unit_valid_and_hardly_exposed(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    file = tmp_path / "shelfpulse-edge.service"
    file.write_text(unit(program=tmp_path / "shelfpulse", config=CONFIG, user="shelfpulse"))
    (tmp_path / "python").symlink_to("/bin/true")
    verified = subprocess.run([analyze, "verify", file], capture_output=True, text=True, check=False, timeout=60)
    assert "shelfpulse-edge.service" not in verified.stderr, verified.stderr
    told = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", file],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert score is not None, told.stdout + told.stderr
    assert float(score[1]) <= EXPOSURE_MAX


def test_a_package_gets_files_below_its_root_and_starts_nothing(tmp_path: Path) -> None:
    steps = plan(config=CONFIG, program=PROGRAM, user="shelfpulse", root=tmp_path)
    assert not [step for step in steps if isinstance(step, Run)]
    carry_out(steps)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["usr/lib/systemd/system/shelfpulse-edge.service", "usr/lib/sysusers.d/shelfpulse.conf"]
    assert (tmp_path / "etc/shelfpulse").stat().st_mode & 0o777 == 0o750
    assert "u shelfpulse" in (tmp_path / "usr/lib/sysusers.d/shelfpulse.conf").read_text()


def test_on_a_machine_the_user_comes_before_what_belongs_to_it_and_the_unit_before_its_start() -> None:
    steps = plan(config=CONFIG, program=PROGRAM, user="shelfpulse", root=None)
    order = [type(step) for step in steps[:4]]
    assert order == [WriteFile, Run, MakeFolder, WriteFile]
    assert steps[1].as_json() == {"run": ["systemd-sysusers", "/etc/sysusers.d/shelfpulse.conf"]}
    assert steps[2].as_json() == {"folder": "/etc/shelfpulse", "mode": "0750", "owner": "shelfpulse"}


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(UserError, match=r"cannot write .*taken/unit: "):
        carry_out([WriteFile(taken / "unit", "")])
    with pytest.raises(UserError, match="cannot run false"):
        carry_out([Run(("false",))])
    with pytest.raises(UserError, match=r"a unit names whole paths, and edge.toml is none"):
        plan(config=Path("edge.toml"), program=PROGRAM, user="shelfpulse", root=None)
    with pytest.raises(UserError, match="not a name of a system user"):
        plan(config=CONFIG, program=PROGRAM, user="Shelf Pulse", root=None)


def test_a_dry_run_tells_all_and_does_nothing(tmp_path: Path) -> None:
    words = ["edge", "install", "--dry-run", "--json", "--root", str(tmp_path / "root"), "--program", str(PROGRAM)]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words], capture_output=True, text=True, check=True, timeout=60
    )
    told = json.loads(done.stdout)
    assert told["done"] is False
    assert [next(iter(step)) for step in told["steps"]] == ["write", "write", "folder"]
    assert not (tmp_path / "root").exists()


def test_under_the_unit_the_agent_may_ask_the_kernel_for_its_clock_and_its_boot() -> None:
    lines = unit(program=PROGRAM, config=CONFIG, user="shelfpulse").splitlines()
    assert not {"ProtectClock=yes", "ProcSubset=pid"} & set(lines)
    filters = [line for line in lines if line.startswith("SystemCallFilter=")]
    assert filters.index("SystemCallFilter=adjtimex clock_adjtime clock_adjtime64") == len(filters) - 1
