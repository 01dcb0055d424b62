"""The command line as a user meets it: one line for a mistake, no traceback, honest exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from contracts.errors import UserError
from deploy import cli
from deploy.local.discovery import StackInfo, save_stack
from deploy.local.state import StateDir


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHELFPULSE_", "MQTT_"))}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=kept | {"SHELFPULSE_STATE": "/nonexistent"} | environment,
    )


def test_the_version_is_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("shelfpulse 0.")


def test_the_help_names_every_command_without_importing_its_part() -> None:
    done = run("--help")
    assert done.returncode == 0
    for mount in cli.MOUNTS:
        assert mount.name in done.stdout
    code = "import sys, deploy.cli; print([m for m in ('numpy', 'fastapi', 'psycopg', 'pymodbus') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]"


def test_help_behind_a_mounted_command_is_that_commands_own() -> None:
    done = run("import", "--help")
    assert done.returncode == 0
    assert "reorder_point" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("events",),
        ("tail",),
        ("up", "--for", "soon"),
        ("import", "skus", "/nonexistent.csv"),
        ("up", "--state", "/proc/nowhere"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert [line[:6] for line in rest] in ([], ["hint: "])


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cli.Mount:
    """A part whose package needs one that is not installed, and one of its own that is missing."""
    folder = tmp_path / "half_a_part"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "main.py").write_text("import a_package_of_an_extra\n")
    (folder / "broken.py").write_text("import half_a_part.forgotten\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return cli.Mount("edge", "half_a_part.main", "", "edge")


def test_an_extra_that_is_not_installed_is_named(part: cli.Mount) -> None:
    with pytest.raises(UserError, match="needs the package a_package_of_an_extra") as caught:
        cli._load(part)
    assert caught.value.hint == "install shelfpulse[edge]"


def test_a_module_of_ours_that_is_missing_is_a_defect(part: cli.Mount) -> None:
    with pytest.raises(ModuleNotFoundError, match="forgotten"):
        cli._load(part._replace(module="half_a_part.broken"))


def test_a_defect_is_one_line_and_its_traceback_a_file(tmp_path: Path) -> None:
    code = "import deploy.cli as c\nc.app = lambda: 1 / 0\nc.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "SHELFPULSE_DEBUG": ""},
    )
    assert done.returncode == cli.DEFECT
    assert len(done.stderr.splitlines()) == 1
    (file,) = tmp_path.glob("shelfpulse-*.log")
    assert str(file) in done.stderr
    assert "ZeroDivisionError" in file.read_text()


def test_a_defect_shows_its_traceback_to_who_asked_for_it(tmp_path: Path) -> None:
    code = "import deploy.cli as c\nc.app = lambda: 1 / 0\nc.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "SHELFPULSE_DEBUG": "1"},
    )
    assert done.returncode == cli.DEFECT
    assert "Traceback" in done.stderr
    assert list(tmp_path.iterdir()) == []


def running_stack(root: Path, dsn: str) -> None:
    save_stack(
        StateDir(root),
        StackInfo(
            dsn=dsn,
            mqtt_url="mqtt://platform:hidden@127.0.0.1:1",
            device_mqtt_url="mqtt://device:hidden@127.0.0.1:1",
            api_url="http://127.0.0.1:1",
            secret="hidden",
            started_at="2026-01-01T00:00:00+00:00",
            pids={"up": os.getpid()},
            api_key="spk_hidden",
        ),
    )


def test_a_file_is_imported_into_the_running_stack(tmp_path: Path, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name) VALUES ('demo', 'Demo')")
    running_stack(tmp_path, database)
    file = tmp_path / "skus.csv"
    file.write_text("tenant,sku,name_en,unit_weight_g\ndemo,cola,Cola,345\n")
    done = run("import", "skus", str(file), "--json", SHELFPULSE_STATE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "kind": "skus", "rows": 1, "created": 1, "updated": 0, "unchanged": 0, "dry_run": False, "faults": [],
    }  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), [("channels", "channel-settings"), ("pos", "pos-sales")])
def test_kinds_of_files_have_shorter_names(tmp_path: Path, database: str, name: str, kind: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name) VALUES ('demo', 'Demo')")
    file = tmp_path / "any.csv"
    file.write_text("tenant\n")
    done = run("import", name, str(file), "--json", SHELFPULSE_DSN=database)
    assert json.loads(done.stdout)["kind"] == kind


def test_a_kind_that_there_is_not_is_told_with_those_that_there_are() -> None:
    done = run("import", "shelves", "any.csv")
    assert done.returncode == 2
    assert "promotion-plan" in " ".join(done.stderr.replace("│", "").split())


def test_every_mistake_of_a_file_is_told_with_its_row(tmp_path: Path, database: str) -> None:
    file = tmp_path / "skus.csv"
    file.write_text("tenant,sku,name_en,unit_weight_g\ndemo,cola,Cola,heavy\ndemo,tea,,520\n")
    done = run("import", "skus", str(file), "--json", SHELFPULSE_DSN=database)
    faults: list[dict[str, Any]] = json.loads(done.stdout)["faults"]
    assert done.returncode == 2
    assert [(fault["line"], fault["column"]) for fault in faults] == [(2, "unit_weight_g"), (3, "")]


def test_a_mistake_is_told_with_the_pattern_that_it_broke(tmp_path: Path, database: str) -> None:
    """Brackets are no markup: the letters that a name may have stand in them."""
    file = tmp_path / "skus.csv"
    file.write_text("tenant,site,gateway\ndemo,s1,GW 1\n")
    done = run("import", "devices", str(file), SHELFPULSE_DSN=database, COLUMNS="200")
    assert done.returncode == 2
    assert "^[a-z0-9][a-z0-9_-]{0,31}$" in done.stderr


def test_the_configuration_is_shown_without_secrets(tmp_path: Path) -> None:
    running_stack(tmp_path, "postgresql://me:hidden@127.0.0.1:1/x")
    done = run("config", SHELFPULSE_STATE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "hidden" not in done.stdout
    shown = json.loads(done.stdout)
    assert shown["running"] is True
    assert shown["settings"]["SHELFPULSE_DSN"] == {"value": "postgresql://me:***@127.0.0.1:1/x", "from": "stack"}
    assert shown["settings"]["SHELFPULSE_STATE"] == {"value": str(tmp_path), "from": "environment"}


def test_a_stack_that_was_killed_is_not_found(tmp_path: Path, database: str) -> None:
    running_stack(tmp_path, database)
    file = tmp_path / "stack.json"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    file.write_text(file.read_text().replace(str(os.getpid()), str(gone.pid)))
    done = run("events", SHELFPULSE_STATE=str(tmp_path))
    assert done.returncode == 2
    assert "did not stop cleanly" in done.stderr


def test_the_stacks_addresses_are_readable_by_its_owner_alone(tmp_path: Path, database: str) -> None:
    running_stack(tmp_path, database)
    assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0
