"""The commands as a user meets them, and what they need from a database and a running stack."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from contracts.acks import AWAITING_PUBACK_MAX
from contracts.errors import UserError
from contracts.topics import GatewayAddress, Lane
from simulators import queries, settings
from simulators.faults import Direction, running_proxy
from simulators.fleet import Fleet, FleetReport, clock_offset_ms
from simulators.links import parse_broker
from simulators.main import app
from tests.integration.simulators.acking_platform import acking_platform, wait_for
from tests.integration.simulators.test_fleet_over_mqtt import options
from tests.services.brokers import BrokerHandle

ADDRESSES = [GatewayAddress("load", f"load-{number // 2:03d}", f"load-{number:05d}") for number in range(4)]


@pytest.fixture
def no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty state directory, and no address in the environment."""
    for name in ("MQTT_URL", "SHELFPULSE_MQTT_URL", "SHELFPULSE_DSN", "SHELFPULSE_TOKEN", "SHELFPULSE_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHELFPULSE_STATE", str(tmp_path))
    return tmp_path


def test_registering_twice_changes_nothing(database: str) -> None:
    queries.register(database, ADDRESSES)
    queries.register(database, ADDRESSES)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT tenant_id, site_id, gateway_id FROM gateway ORDER BY gateway_id").fetchall()
    assert [GatewayAddress(*row) for row in found] == ADDRESSES


def test_a_database_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="cannot register the fleet: ") as caught:
        queries.register("postgresql://nobody@127.0.0.1:1/none", ADDRESSES)
    assert "\n" not in caught.value.message


def test_the_running_stack_is_found_when_the_environment_says_nothing(no_stack: Path) -> None:
    with pytest.raises(UserError, match="MQTT_URL is not set and no stack is running"):
        settings.mqtt_url()
    stack = {"dsn": "postgresql://x", "device_mqtt_url": "mqtt://d:p@h:1", "api_url": "http://a", "tenant": "demo"}
    (no_stack / "stack.json").write_text(json.dumps(stack))
    assert (settings.dsn(), settings.mqtt_url(), settings.api_url(), settings.tenant()) == tuple(stack.values())
    with pytest.raises(UserError, match="no API key"):
        settings.api_token()


def test_the_environment_wins_over_the_running_stack(no_stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (no_stack / "stack.json").write_text('{"dsn": "stack", "device_mqtt_url": "stack"}')
    monkeypatch.setenv("MQTT_URL", "mqtt://environment")
    assert settings.mqtt_url() == "mqtt://environment"


def test_the_fleet_command_reports_and_writes_the_truth(
    broker: BrokerHandle, no_stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_URL", broker.device_url)
    truth = no_stack / "truth.jsonl"
    with acking_platform(broker.url) as platform:
        result = CliRunner().invoke(
            app,
            ["fleet", "--gateways", "3", "--readings", "5000", "--lanes", "tel,bulk", "--truth", str(truth), "--json"],
        )
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert (report["complete"], report["readings"], report["lanes"]) == (True, 5000, 6)
        accounts = [json.loads(line) for line in truth.read_text().splitlines()]
        assert sum(account["seq"] for account in accounts) == platform.count() == 100
        assert {account["lane"] for account in accounts} == {"tel", "bulk"}


def test_the_fleet_command_exits_with_1_when_the_deadline_comes_first(
    broker: BrokerHandle, no_stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_URL", broker.device_url)
    result = CliRunner().invoke(app, ["fleet", "--readings", "100", "--deadline", "1", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["complete"] is False
    assert no_stack.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fleet", "--lanes", "tel,rsp"], "'rsp' is none of tel, bulk, evt"),
        (["fleet", "--tenant", "No Such"], "--tenant 'No Such'"),
        (["fleet"], "no stack is running"),
        (["replay", "/nonexistent"], "cannot read /nonexistent"),
        (["store", "--plan", "/nonexistent"], "cannot read the plan /nonexistent"),
    ],
)
@pytest.mark.usefixtures("no_stack")
def test_mistakes_are_told_in_one_line(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UserError)
    assert told in result.exception.message
    assert "\n" not in result.exception.message


def test_a_network_that_swallows_acks_and_then_breaks_costs_nothing(broker: BrokerHandle) -> None:
    device = parse_broker(broker.device_url)
    with acking_platform(broker.url) as platform, running_proxy(device.host, device.port) as proxy:
        through = device._replace(port=proxy.port)
        given = options(readings=150_000, rate=50_000.0)
        fleet = Fleet(given, through, start_s=time.monotonic(), clock_ms=clock_offset_ms())
        reports: list[FleetReport] = []
        thread = threading.Thread(target=lambda: reports.append(fleet.run(lambda _written, _committed: None)))
        thread.start()
        wait_for(lambda: platform.count() > 500)
        proxy.blackholes = frozenset({Direction.DOWN})
        # Without PUBACKs each connection sends no more than its window: then it stands still.
        wait_for(lambda: all(link._awaiting == AWAITING_PUBACK_MAX for link in fleet._links))
        proxy.cut()
        proxy.blackholes = frozenset()
        thread.join(60)
        (report,) = reports
        assert report.complete
        assert report.connections == 4
        assert report.frames_resent > 0
        assert report.digest == {"tel": f"{platform.digest(Lane.TEL):x}"}


def test_locust_gateways_publish_and_see_their_frames_committed(
    broker: BrokerHandle, no_stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_URL", broker.device_url)
    locustfile = Path(settings.__file__).with_name("locustfile_mqtt.py")
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "-u", "3", "-r", "3", "--json"]
    with (
        acking_platform(broker.url) as platform,
        subprocess.Popen(command, cwd=no_stack, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as locust,
    ):
        wait_for(lambda: platform.count() >= 20, 60)
        locust.send_signal(signal.SIGTERM)
        told, _ = locust.communicate(timeout=30)
        assert locust.returncode == 0
        rows = {row["name"]: row for row in json.loads(told)}
        assert rows["commit"]["num_failures"] == 0
        assert 0 < rows["commit"]["num_requests"] <= platform.count()
