"""A gateway from its invitation to its end: over HTTP, by the agent's own command, on a whole local stack."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from contracts import topics
from contracts.topics import GatewayAddress
from deploy.local.deadline import wait_until
from platform_api.tenancy import service as tenancy
from tests.integration.deploy.gateways import register
from tests.integration.deploy.mqtt_client import Client
from tests.integration.edge.shelf_server import shelf_server
from tests.integration.edge.test_remote_agent import LampShelf
from tests.services.stacks import RunningStack, environment, run_stack, state_directory

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SOON_S = 60.0
KICK_S = 10.0
OWN, OTHER = GatewayAddress("acme", "north", "gw-1"), GatewayAddress("acme", "north", "gw-2")


def operator(stack: RunningStack) -> httpx.Client:
    """A client of the tenant's operations."""
    with psycopg.connect(stack.info.dsn) as connection:
        tenancy.create_user(
            connection, tenant_id="acme", login="ops@acme", password="correct horse battery", role="ops"
        )
        key = tenancy.create_api_key(connection, login="ops@acme", name="test")
    return httpx.Client(base_url=stack.info.api_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def write_config(folder: Path, modbus_port: int) -> Path:
    config = folder / "edge.toml"
    config.write_text(f"""
tenant = "{OWN.tenant}"
site = "{OWN.site}"
gateway = "{OWN.gateway}"
[report]
heartbeat_s = 1.0
[remote]
health_window_s = 2.0
[[bus]]
name = "shelves"
kind = "tcp"
host = "127.0.0.1"
port = {modbus_port}
[[device]]
name = "s01"
bus = "shelves"
unit = 1
profile = "loadcell_shelf"
period_s = 0.2
""")
    return config


def ask(api: httpx.Client, path: str) -> Any:
    return api.get(f"/v1/gateways/{OWN.gateway}{path}").raise_for_status().json()


def test_a_gateway_is_invited_claims_its_credential_works_and_is_revoked(tmp_path: Path) -> None:
    with (
        state_directory() as state,
        shelf_server(LampShelf(unit=1, weights_g=[40.0, 0.0, 0.0, 0.0])) as modbus,
        run_stack(state) as stack,
    ):
        register(stack.info.dsn, OWN.gateway, OTHER.gateway)
        api = operator(stack)
        code = api.post(f"/v1/gateways/{OWN.gateway}:invite").raise_for_status().json()["code"]
        config = write_config(tmp_path, modbus)
        claimed = stack.command(
            *("edge", "claim", code.lower(), "--api", stack.info.api_url, "--config", str(config), "--yes", "--json")
        )
        assert claimed.returncode == 0, claimed.stderr
        secret = (tmp_path / "broker.secret").read_text().strip()
        assert secret not in claimed.stdout + claimed.stderr
        url = stack.info.mqtt_url.rpartition("@")[2]
        url = f"mqtt://{quote('acme/gw-1', safe='')}:{secret}@{url}"
        assert wait_until(lambda: comes_in(url), SOON_S), stack.log("access")

        log = tmp_path / "edge.log"
        with log.open("wb") as stderr:
            agent = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "edge", "run", "--config", str(config)],
                stderr=stderr,
                env=environment(state) | {"SHELFPULSE_CLOCK": "trusted", "PATH": os.environ["PATH"]},
            )
        try:
            readings = "SELECT coalesce(sum(readings), 0) FROM ingest_watermark WHERE gateway_id = 'gw-1'"
            assert wait_until(lambda: (stack.value(readings) or 0) > 20, SOON_S), log.read_text()
            assert ask(api, "")["credential"]["state"] == "live"
            assert wait_until(lambda: ask(api, "")["state"] == "online", SOON_S)
            speak_for_another(stack, url)
            command_and_configure(api, log)

            began_s = time.monotonic()
            assert api.post(f"/v1/gateways/{OWN.gateway}:revoke").json()["credential"]["state"] == "revoked"
            assert wait_until(lambda: not comes_in(url), KICK_S), stack.log("access")
            assert wait_until(lambda: was_refused(log), SOON_S), log.read_text()
            assert time.monotonic() - began_s < SOON_S
            assert agent.poll() is None, "it keeps what it measures until it is let in again"
        finally:
            agent.kill()
            agent.wait()
            api.close()


def comes_in(url: str) -> bool:
    client = Client(url)
    client.close()
    return not client.refused


def speak_for_another(stack: RunningStack, url: str) -> None:
    """Readings in the name of another gateway go nowhere; the same client's own are committed."""
    forger, honest = Client(url), Client(url)
    forger.publish(topics.raw(OTHER), b'{"values":{"s01.temp_c":1.0}}')
    assert honest.publish(topics.raw(OWN), b'{"values":{"extra.temp_c":21.5}}')
    extra = "SELECT count(*) FROM series WHERE gateway_id = 'gw-1' AND channel = 'extra.temp_c'"
    assert wait_until(lambda: stack.value(extra) == 1, SOON_S)
    assert stack.value("SELECT count(*) FROM series WHERE gateway_id = 'gw-2'") == 0
    forger.close()
    honest.close()


def command_and_configure(api: httpx.Client, log: Path) -> None:
    """A command is done, and a configuration applied, by way of worker, broker, agent, stream and database."""
    for command in ({"kind": "identify"}, {"kind": "tare", "args": {"device": "s01", "bay": 1}}):
        made = api.post(f"/v1/gateways/{OWN.gateway}/commands", json=command).raise_for_status().json()
        assert ended(api, made["id"])["state"] == "done", ended(api, made["id"])
    desired = {"config": {"report": {"heartbeat_s": 2.0}}}
    api.put(f"/v1/gateways/{OWN.gateway}/config", json=desired, headers={"If-Match": '"0"'}).raise_for_status()
    assert wait_until(lambda: ask(api, "")["config"]["applied"] == 1, SOON_S), log.read_text()


def ended(api: httpx.Client, command: str) -> Any:
    """The command, once it has come to its end."""
    assert wait_until(lambda: ask(api, f"/commands/{command}")["finished_at"] is not None, SOON_S)
    return ask(api, f"/commands/{command}")


def was_refused(log: Path) -> bool:
    """Whether the agent says that the broker will not have it."""
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return any("not auth" in json.dumps(event).lower() for event in events)
