"""The whole stack as a user starts, breaks and stops it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from deploy.local.deadline import wait_until
from tests.services.stacks import children, environment, left_over, parse, run_stack, state_directory

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_every_reading_is_there_once_although_stream_and_broker_were_killed_under_load(
    tmp_path: Path, database: str
) -> None:
    with state_directory() as state, run_stack(state, dsn=database) as stack:
        report, truth = tmp_path / "fleet.json", tmp_path / "truth.jsonl"
        load = stack.spawn(
            *("simulate", "fleet", "--gateways", "20", "--devices", "5", "--rate", "2000", "--seconds", "25"),
            *("--tenant", "load", "--register", "--lanes", "tel,evt", "--truth", str(truth), "--json"),
            output=report,
        )
        committed = "SELECT coalesce(sum(readings), 0) FROM ingest_watermark"

        def grows_beyond(readings: int) -> bool:
            return wait_until(lambda: (stack.value(committed) or 0) > readings, 60)

        assert grows_beyond(0)
        stack.crash("stream")
        assert grows_beyond(int(stack.value(committed)))

        # The broker loses all of its state, with messages in it that it has acknowledged.
        data = state / "broker" / "mosquitto"
        for file in data.glob("*") if data.exists() else ():
            file.unlink()
        stack.crash("broker")
        assert grows_beyond(int(stack.value(committed)))
        stack.crash("stream")

        assert load.wait(240) == 0, report.read_text()
        sent = parse(report.read_text())
        assert sent["complete"] is True
        assert sent["readings"] == sent["readings_acked"] == stack.value("SELECT count(*) FROM reading")
        verified = stack.command("verify", "--json", "--ledger", str(truth))
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert parse(verified.stdout)["readings"] == sent["readings"]


def test_a_killed_database_is_started_again_and_keeps_what_was_committed() -> None:
    with state_directory() as state, run_stack(state) as stack:
        with psycopg.connect(stack.info.dsn) as connection:
            settings = {
                name: connection.execute(f"SHOW {name}".encode()).fetchone()
                for name in ("fsync", "synchronous_commit", "full_page_writes")
            }
            assert settings == dict.fromkeys(settings, ("on",))
        load = (
            "simulate",
            "fleet",
            "--gateways",
            "4",
            "--readings",
            "5000",
            "--tenant",
            "load",
            "--register",
            "--json",
        )
        first = parse(stack.command(*load).stdout)
        assert stack.value("SELECT count(*) FROM reading") == first["readings"]
        stack.crash("postgres")
        assert wait_until(lambda: stack.value("SELECT count(*) FROM reading") == first["readings"], 60)
        assert stack.command("verify").returncode == 0


def test_a_stack_that_was_killed_leaves_no_process_and_starts_again() -> None:
    with state_directory() as state:
        with run_stack(state) as stack:
            pids = children(stack.process.pid)
            assert {"postgres", "broker", "stream", "api", "worker"} <= stack.info.pids.keys()
            assert len(pids) >= len(stack.info.pids) - 1
        with subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "up"], stdout=subprocess.DEVNULL, env=environment(state)
        ) as again:
            assert wait_until((state / "stack.json").exists, 90)
            pids = children(again.pid)
            os.kill(again.pid, signal.SIGKILL)
        assert left_over(pids) == []
        with run_stack(state) as stack:
            assert stack.command("verify").returncode == 0


def test_two_stacks_do_not_share_a_state_directory() -> None:
    with state_directory() as state, run_stack(state) as stack:
        second = stack.command("up")
        assert second.returncode == 2
        assert second.stderr.startswith("error: a stack is already running")


def test_the_demo_ends_by_itself_with_everything_committed_once() -> None:
    with state_directory() as state:
        for _start in ("first", "continued"):
            done = subprocess.run(
                [sys.executable, "-m", "deploy.cli", "up", "--demo", "--for", "20s", "--json"],
                check=False,
                capture_output=True,
                text=True,
                timeout=250,
                env=environment(state),
            )
            assert done.returncode == 0, done.stdout + done.stderr
            summary = parse(done.stdout)
            assert summary["readings_sent"] == summary["readings_committed"] > 0
            assert summary["events"] > 0
            assert summary["verify"] == "ok"
            assert summary["gaps"] == summary["quarantined"] == 0
            assert summary["lag_p99_ms"] > 0
        assert not (state / "stack.json").exists()


def test_the_demo_can_be_asked_and_followed_from_the_command_line(tmp_path: Path) -> None:
    with state_directory() as state, run_stack(state, "--demo") as stack:
        tail_output = tmp_path / "tail.jsonl"
        tail = stack.spawn("tail", "--json", output=tail_output)
        assert wait_until(lambda: '"kind":"sale"' in tail_output.read_text(), 90)
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 130
        sales = stack.command("events", "--json", "--limit", "5")
        assert sales.returncode == 0, sales.stderr
        assert sales.stdout.startswith("[{")
        assert stack.command("anomalies").returncode == 0
        assert stack.command("proposals").returncode == 0
        assert stack.command("orders").returncode == 0
        assert "demo" in stack.command("config").stdout
        assert not any(login.password in stack.log(name) for login in stack.info.logins for name in ("up", "api"))
