"""The commands of `shelfpulse api`, and the process that `run` makes."""

import json
import os
import signal
import subprocess
import sys

import httpx
import psycopg
import pytest
from typer.testing import CliRunner

from contracts.errors import UserError
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from platform_api.main import app
from tests.integration.api.world import SECRET

START_S = 60.0
RUN = [sys.executable, "-c", "from platform_api.main import app; app()", "run"]


@pytest.fixture
def environment(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHELFPULSE_DSN", database)
    monkeypatch.setenv("SHELFPULSE_SECRET", SECRET)
    return database


def invoke(*arguments: str, typed: str = "") -> str:
    result = CliRunner().invoke(app, list(arguments), input=typed)
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_first_administrator_and_a_key_are_made_by_command(environment: str) -> None:
    made = json.loads(
        invoke(
            "users", "add", "boss@acme", "--role", "hq", "--tenant", "acme", "--create-tenant", "Acme", "--generate",
            "--json",
        )
    )  # fmt: skip
    assert len(made["password"]) >= 20
    key = json.loads(invoke("keys", "add", "boss@acme", "--name", "ci", "--days", "7", "--json"))["key"]
    assert key.startswith("spk_")
    with psycopg.connect(environment) as connection:
        assert connection.execute("SELECT tenant_id, role FROM app_user").fetchall() == [("acme", "hq")]


@pytest.mark.usefixtures("environment")
def test_a_password_can_be_piped_in() -> None:
    arguments = ("users", "add", "boss@acme", "--role", "hq", "--tenant", "acme")
    with pytest.raises(UserError, match="no tenant 'acme'"):
        invoke(*arguments, typed="a long enough one\n")
    shown = invoke(*arguments, "--create-tenant", "Acme", typed="a long enough one\n")
    assert "a long enough one" not in shown


@pytest.mark.usefixtures("environment")
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHELFPULSE_SECRET")
    with pytest.raises(UserError, match="SHELFPULSE_SECRET"):
        invoke("run")
    monkeypatch.setenv("SHELFPULSE_SECRET", "short")
    with pytest.raises(UserError, match=r"SHELFPULSE_SECRET.*32"):
        invoke("run")


def test_a_database_that_is_not_there_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFPULSE_DSN", f"postgresql://x@127.0.0.1:{free_port()}/x")
    with pytest.raises(UserError, match="cannot be reached") as refused:
        invoke("keys", "add", "boss@acme", "--name", "ci")
    assert "\n" not in refused.value.message


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


def test_the_process_serves_its_health_and_metrics_and_exits_cleanly_on_sigterm(
    environment: str, ports: tuple[int, int]
) -> None:
    port, metrics_port = ports
    variables = {**os.environ, "SHELFPULSE_METRICS_PORT": str(metrics_port)}
    with subprocess.Popen([*RUN, "--port", str(port)], env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert wait_until(lambda: answers(port), START_S)
            health = httpx.get(f"http://127.0.0.1:{metrics_port}/healthz", timeout=START_S)
            assert (health.status_code, health.text) == (200, "ok")
            metrics = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=START_S).text
            assert 'shelfpulse_api_requests_total{method="GET",route="/healthz",status="200"}' in metrics
            with psycopg.connect(environment) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=START_S)
        finally:
            process.kill()
    assert process.returncode == 0, log
    assert all(json.loads(line)["process"] == "api" for line in log.splitlines())
    assert SECRET not in log


def test_without_a_database_it_starts_and_says_that_it_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, ports: tuple[int, int]
) -> None:
    monkeypatch.setenv("SHELFPULSE_DSN", f"postgresql://x@127.0.0.1:{ports[1]}/x")
    monkeypatch.setenv("SHELFPULSE_SECRET", SECRET)
    with subprocess.Popen([*RUN, "--port", str(ports[0])], stderr=subprocess.DEVNULL) as process:
        try:
            assert wait_until(lambda: answers(ports[0]), START_S)
            answer = httpx.get(f"http://127.0.0.1:{ports[0]}/healthz", timeout=START_S)
            assert answer.status_code == 503
            refused = httpx.post(
                f"http://127.0.0.1:{ports[0]}/v1/auth/token", json={"login": "a1", "password": "b"}, timeout=START_S
            )
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert "Retry-After" in refused.headers
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=START_S)
    except httpx.TransportError:
        return False
    return True
