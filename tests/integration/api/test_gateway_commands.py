from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.types.json import Jsonb

from contracts.commands import config_sha256
from platform_api.devices.rules import ARGS_MAX_BYTES, WAITING_MAX
from tests.integration.api.conftest import token_of
from tests.integration.api.world import World

COMMANDS = "/v1/gateways/gw-east-1/commands"
CONFIG = "/v1/gateways/gw-east-1/config"
NONE_YET = {"If-Match": '"0"'}


def answer(world: World, **given: Any) -> None:
    """What the stream calls when the gateway answered."""
    values = {"cmd": "", "state": "", "result": {}, "error": "", "cfg": None, "applied": None, **given}
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            """SELECT apply_answer('acme', 'gw-east-1', %(cmd)s, %(state)s, %(result)s, %(error)s, %(cfg)s,
                                   %(applied)s, now())""",
            {**values, "result": Jsonb(values["result"])},
        )


def state_of(ops: TestClient, command: str) -> str:
    state: str = ops.get(f"{COMMANDS}/{command}").json()["state"]
    return state


def test_a_command_is_queued_the_worker_hears_of_it_and_its_answer_is_shown(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn, autocommit=True) as listener:
        listener.execute("LISTEN shelfpulse_downlink")
        made = ops.post(COMMANDS, json={"kind": "tare", "args": {"slot": "s01-b1"}, "expires_in_s": 60})
        assert [notice.payload for notice in listener.notifies(timeout=10, stop_after=1)] == ["command"]
    assert (made.status_code, made.json()["state"], made.json()["created_by"]) == (201, "queued", "ops@acme")
    path = made.headers["Location"]
    assert ops.get(path).json() == made.json()
    answer(world, cmd=made.json()["id"], state="acked")
    assert ops.get(path).json()["state"] == "acked"
    answer(world, cmd=made.json()["id"], state="done", result={"grams": 12.5})
    done = ops.get(path).json()
    assert (done["state"], done["result"]) == ("done", {"grams": 12.5})
    assert done["finished_at"] is not None
    assert [one["id"] for one in ops.get(COMMANDS, params={"state": "done"}).json()["items"]] == [done["id"]]
    assert ops.get(COMMANDS, params={"state": "queued"}).json()["items"] == []


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        (("acked", "done"), "done"),
        (("done", "acked"), "done"),
        (("failed", "done"), "failed"),
        (("expired", "acked"), "expired"),
        (("expired", "done"), "done"),
        (("done", "expired"), "done"),
        (("nonsense",), "queued"),
    ],
)
def test_a_command_never_goes_back(ops: TestClient, world: World, answers: tuple[str, ...], end: str) -> None:
    command = ops.post(COMMANDS, json={"kind": "restart"}).json()["id"]
    for state in (*answers, *answers):
        answer(world, cmd=command, state=state)
    assert state_of(ops, command) == end


def test_the_answer_of_another_tenants_gateway_changes_nothing(ops: TestClient, world: World) -> None:
    command = ops.post(COMMANDS, json={"kind": "restart"}).json()["id"]
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            "SELECT apply_answer('bravo', 'gw-east-1', %s, 'done', '{}', '', NULL, NULL, now())", (command,)
        )
    assert state_of(ops, command) == "queued"


def test_a_gateway_has_only_so_many_commands_waiting(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            """INSERT INTO command (command_id, tenant_id, gateway_id, kind, expires_at)
               SELECT 'old-' || n, 'acme', 'gw-east-1', 'identify', now() FROM generate_series(1, %s) AS n""",
            (WAITING_MAX,),
        )
    assert ops.post(COMMANDS, json={"kind": "identify"}).status_code == 409
    answer(world, cmd="old-1", state="expired")
    assert ops.post(COMMANDS, json={"kind": "identify"}).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "explode"},
        {"kind": "tare", "args": {"text": "x" * ARGS_MAX_BYTES}},
        {"kind": "tare", "expires_in_s": 0},
        {"kind": "tare", "args": []},
        {"kind": "tare", "then": "more"},
        {"kind": "tare", "args": {"text": "\u0000"}},
    ],
)
def test_a_command_that_no_gateway_could_take_is_refused(ops: TestClient, body: dict[str, Any]) -> None:
    assert ops.post(COMMANDS, json=body).status_code == 422
    assert ops.get(COMMANDS).json()["items"] == []


def test_a_configuration_is_versioned_and_shown_with_what_the_gateway_said(ops: TestClient, world: World) -> None:
    missing = ops.get(CONFIG)
    assert (missing.status_code, missing.headers["ETag"]) == (404, '"0"')
    config = {"report": {"heartbeat_s": 30.0, "frame_ms": 250}, "extra": {"small": 1e-05, "large": 1e22}}
    first = ops.put(CONFIG, json={"config": config}, headers=NONE_YET)
    assert (first.status_code, first.headers["ETag"]) == (200, '"1"')
    assert first.json()["sha256"] == config_sha256(first.json()["config"])
    assert ops.put(CONFIG, json={"config": config}, headers={"If-Match": '"1"'}).json()["version"] == 1
    config["report"]["heartbeat_s"] = 60.0
    second = ops.put(CONFIG, json={"config": config}, headers={"If-Match": '"1"'})
    assert (second.json()["version"], second.json()["state"]) == (2, "desired")
    answer(world, cfg=2, applied=True)
    gateway = ops.get("/v1/gateways/gw-east-1").json()
    assert gateway["config"] == {"desired": 2, "applied": 2, "state": "applied", "error": ""}
    listed = ops.get("/v1/gateways/gw-east-1/configs").json()["items"]
    assert [(one["version"], one["state"]) for one in listed] == [(2, "applied"), (1, "superseded")]


def test_a_refused_configuration_is_not_desired_again(ops: TestClient, world: World) -> None:
    config = {"config": {"report": {"heartbeat_s": 5.0}}}
    assert ops.put(CONFIG, json=config, headers=NONE_YET).status_code == 200
    answer(world, cfg=1, applied=False, error="device s01 did not answer any more")
    again = ops.put(CONFIG, json=config, headers={"If-Match": '"1"'})
    assert again.status_code == 409
    assert "did not answer" in again.json()["detail"]
    assert (
        ops.put(CONFIG, json={"config": {"report": {"heartbeat_s": 6.0}}}, headers={"If-Match": '"1"'}).status_code
        == 200
    )


def test_a_configuration_is_written_on_the_version_that_was_seen(ops: TestClient) -> None:
    assert ops.put(CONFIG, json={"config": {}}).status_code == 428
    assert ops.put(CONFIG, json={"config": {}}, headers={"If-Match": '"1"'}).status_code == 412
    assert ops.put(CONFIG, json={"config": {}}, headers=NONE_YET).status_code == 200
    assert ops.put(CONFIG, json={"config": {"report": {}}}, headers=NONE_YET).status_code == 412


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"broker": {"url": "mqtt://evil"}}, "body.config.broker"),
        ({"tenant": "bravo"}, "body.config.tenant"),
        ({"report": {"heartbeat_s": 0.1}}, "body.config.report.heartbeat_s"),
        ({"device": [{"name": "s01", "bus": "b", "unit": 300}]}, "body.config.device.0.unit"),
        ({"bus": [{"name": "Not A Name"}]}, "body.config.bus.0.name"),
        ({"bus": [{"name": "a"}], "device": [{"name": "s01", "bus": "b", "unit": 1}]}, "body.config.device.0.bus"),
        ({"bus": [{"name": "a"}, {"name": "a"}]}, "body.config.bus"),
        ({"slots": ["x" * 70_000]}, "body.config"),
        ({"slots": "none"}, "body.config.slots"),
        ({"drain_s": 1.0}, "body.config.drain_s"),
        ({"a": [[[[[[[[[[1]]]]]]]]]]}, "body.config"),
    ],
)
def test_a_configuration_that_no_agent_would_take_is_refused_with_its_place(
    ops: TestClient, config: dict[str, Any], where: str
) -> None:
    refused = ops.put(CONFIG, json={"config": config}, headers=NONE_YET)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["where"] == where


def test_only_headquarters_and_operations_command_and_configure(anonymous: TestClient) -> None:
    for login in ("audit@acme", "dealer@acme"):
        headers = token_of(anonymous, login)
        assert anonymous.post(COMMANDS, json={"kind": "identify"}, headers=headers).status_code == 403
        assert anonymous.put(CONFIG, json={"config": {}}, headers={**headers, **NONE_YET}).status_code == 403
        assert anonymous.get(COMMANDS, headers=headers).status_code == 200
