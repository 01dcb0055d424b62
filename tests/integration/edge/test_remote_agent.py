"""Configurations and commands from afar, with the agent as a process and a real broker."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.constants import ExcCodes

from contracts import topics
from contracts.commands import config_sha256
from contracts.frames import Answer, AnswerFrame, EventKind
from contracts.topics import Down, Lane
from edge_agent.settings import parse_broker
from tests.integration.edge.agent_process import HERE, UNIT_G, agent, configure, edge, noisy
from tests.integration.edge.shelf_server import Shelf, shelf_server
from tests.integration.edge.test_agent import events
from tests.integration.edge.tiny_platform import TinyPlatform, tiny_platform
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle

WINDOW_S = 2.0
READ_HOLDING, WRITE_COIL, WRITE_REGISTER = 3, 5, 6
TARE = 200


@dataclass
class LampShelf(Shelf):
    """A shelf with a lamp on coil 0 (``lamp`` is all that was ever written to it), and scales that obey a tare."""

    lamp: list[bool] = field(default_factory=list)
    zero_g: list[float] = field(default_factory=lambda: [0.0] * 4)

    async def _access(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if function == WRITE_COIL and values is not None:
            self.lamp.append(bool(values[0]))
        if function == READ_HOLDING:
            registers[address - start : address - start + count] = [0] * count  # a tare is done at once
        if function == WRITE_REGISTER and values is not None:
            self.zero_g[address - TARE] = self.weights_g[address - TARE]
        return await super()._access(function, start, address, count, registers, values)

    def _words(self) -> dict[int, int]:
        loaded_g = self.weights_g
        self.weights_g = [weight_g - zero_g for weight_g, zero_g in zip(loaded_g, self.zero_g, strict=True)]
        words = super()._words()
        self.weights_g = loaded_g
        return words


@dataclass
class Scene:
    """A gateway with two shelves at hand (edge.toml knows the first), and the platform that it talks to."""

    broker: BrokerHandle
    platform: TinyPlatform
    folder: Path
    config: Path
    modbus_port: int
    shelf: LampShelf
    items: list[int]

    def say(self, kind: Down, message: dict[str, Any] | bytes) -> None:
        """Publish as the platform's worker does, and wait until the broker has it."""
        where = parse_broker(self.broker.url, "url")
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(where.username, where.password)
        client.connect(where.host, where.port)
        client.loop_start()
        payload = message if isinstance(message, bytes) else json.dumps(message)
        client.publish(topics.down(HERE, kind), payload, qos=1, retain=kind is Down.CFG).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()

    def desire(self, version: int, config: dict[str, Any], sha256: str | None = None) -> None:
        self.say(Down.CFG, {"version": version, "sha256": sha256 or config_sha256(config), "config": config})

    def command(self, id_: str, kind: str, life_s: float = 300.0, **args: Any) -> None:
        expires = int((time.time() + life_s) * 1000)
        self.say(Down.CMD, {"id": id_, "kind": kind, "args": args, "expires": expires})

    def answers(self) -> list[Answer]:
        frames = [
            f for (lane, _), all_ in list(self.platform.committed.items()) if lane is Lane.RSP for f in list(all_)
        ]
        return [answer for frame in frames if isinstance(frame, AnswerFrame) for answer in frame.rs]

    def states(self, id_: str) -> list[str]:
        return [answer.state for answer in self.answers() if answer.cmd == id_]

    def verdicts(self, version: int) -> list[tuple[bool | None, str]]:
        return [(answer.applied, answer.error) for answer in self.answers() if answer.cfg == version]

    def log(self) -> str:
        return (self.folder / "edge.log").read_text()

    def readings(self) -> int:
        return len(self.platform.values(Lane.TEL)) + len(self.platform.values(Lane.BULK))

    def device(self, name: str, unit: int, **more: Any) -> dict[str, Any]:
        return {"name": name, "bus": "shelves", "unit": unit, "profile": "loadcell_shelf", "period_s": 0.05, **more}

    def wait_until_it_measures(self) -> None:
        before = self.readings()
        wait_for(lambda: self.readings() > before + 10, 30)


@pytest.fixture
def scene(broker: BrokerHandle, tmp_path: Path) -> Iterator[Scene]:
    with make_scene(broker, tmp_path) as scene:
        yield scene


@contextmanager
def make_scene(broker: BrokerHandle, folder: Path) -> Iterator[Scene]:
    shelf, items = LampShelf(1), [12, 8, 0, 20]
    with (
        noisy(shelf, items),
        shelf_server(shelf, Shelf(2, [UNIT_G * n for n in (3, 4, 5, 6)])) as port,
        tiny_platform(broker.url, HERE) as platform,
    ):
        config = configure(folder, port, broker.device_url, health_window_s=WINDOW_S, more="identify_coil = 0")
        yield Scene(broker, platform, folder, config, port, shelf, items)


def test_a_configuration_that_is_retained_and_comes_with_every_connection_is_applied_once(scene: Scene) -> None:
    with agent(scene.config):
        scene.wait_until_it_measures()
        scene.desire(7, {"device": [scene.device("s01", 1), scene.device("s02", 2)]})
        wait_for(lambda: scene.verdicts(7), 30)
        wait_for(lambda: any("s02-b1.weight_g" in getattr(f, "ch", []) for f in all_frames(scene)), 30)
        scene.broker.kill()
        scene.broker.start()
        before = len(scene.platform.presences)
        wait_for(lambda: len(scene.platform.presences) > before, 30)
        scene.wait_until_it_measures()
    with agent(scene.config):
        wait_for(lambda: scene.log().count("agent_started") == 2, 30)
        scene.wait_until_it_measures()
        assert '"devices": 2' in scene.log().splitlines()[-1] or scene.log().count('"devices": 2') == 1
    assert scene.verdicts(7) == [(True, "")]
    assert scene.log().count("config_on_trial") == 1


def all_frames(scene: Scene) -> list[Any]:
    return [frame for frames in list(scene.platform.committed.values()) for frame in list(frames)]


def test_a_configuration_with_a_device_that_is_not_there_goes_back_by_itself_and_says_so(scene: Scene) -> None:
    bad = {"device": [scene.device("s01", 1), scene.device("s09", 9)]}
    with agent(scene.config):
        scene.wait_until_it_measures()
        began_s = time.monotonic()
        scene.desire(3, bad)
        wait_for(lambda: scene.verdicts(3), 30)
        assert time.monotonic() - began_s < WINDOW_S + 8
        assert scene.verdicts(3) == [(False, "no answer within 2 s from s09")]
        scene.wait_until_it_measures()
        scene.desire(4, bad)
        wait_for(lambda: scene.verdicts(4), 30)
    assert scene.verdicts(4) == [(False, "the same was refused as version 3: no answer within 2 s from s09")]
    assert scene.log().count("config_on_trial") == 1
    assert scene.verdicts(3) == [(False, "no answer within 2 s from s09")]


def test_a_configuration_that_silences_a_device_goes_back_and_the_counts_are_kept(scene: Scene) -> None:
    with agent(scene.config):
        wait_for(lambda: len(events(scene.platform)) == 4, 30)
        scene.desire(1, {"device": [scene.device("s01", 8)]})
        wait_for(lambda: scene.verdicts(1), 30)
        assert scene.verdicts(1) == [(False, "no answer within 2 s from s01 (answered before)")]
        scene.wait_until_it_measures()
        scene.items[0] -= 2
        wait_for(lambda: len(events(scene.platform)) == 5, 30)
    assert events(scene.platform)[-1][0::3] == ("s01-b1", 10)


def test_kill_9_in_the_health_window_brings_back_what_was_before(scene: Scene) -> None:
    with agent(scene.config) as process:
        scene.wait_until_it_measures()
        scene.desire(5, {"report": {"heartbeat_s": 2.0}})
        wait_for(lambda: "config_on_trial" in scene.log(), 30)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with agent(scene.config):
        wait_for(lambda: scene.verdicts(5), 30)
        scene.wait_until_it_measures()
    ((applied, error),) = scene.verdicts(5)
    assert applied is False
    assert error == "the agent ended while this configuration was on trial; it went back by itself"
    assert scene.log().count("config_on_trial") == 1


def test_sigterm_in_the_health_window_is_no_verdict_and_the_trial_begins_anew(scene: Scene) -> None:
    with agent(scene.config) as process:
        scene.wait_until_it_measures()
        scene.desire(5, {"report": {"heartbeat_s": 2.0}})
        wait_for(lambda: "config_on_trial" in scene.log(), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert scene.verdicts(5) == []
    with agent(scene.config):
        wait_for(lambda: scene.verdicts(5), 30)
    assert scene.verdicts(5) == [(True, "")]


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (
            {"broker": {"url": "mqtt://elsewhere"}},
            "configuration 2: broker: cannot be set from afar, only report, bus, profile, device, slots can",
        ),
        ({"device": [{"name": "s01", "bus": "nowhere", "unit": 1, "profile": "loadcell_shelf"}]},
         "configuration 2: device[1].bus: no [[bus]] is named 'nowhere'"),
        ({"report": {"heartbeat_s": 0}},
         "configuration 2: report.heartbeat_s: input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_configuration_that_is_wrong_is_refused_with_one_line_and_not_tried(
    scene: Scene, config: dict[str, Any], error: str
) -> None:
    with agent(scene.config):
        scene.wait_until_it_measures()
        scene.desire(2, config)
        wait_for(lambda: scene.verdicts(2), 30)
    assert scene.verdicts(2) == [(False, error)]
    assert "config_on_trial" not in scene.log()


def test_a_configuration_whose_hash_is_another_is_not_tried_nor_held_against_it(scene: Scene) -> None:
    config = {"report": {"heartbeat_s": 2.0}}
    with agent(scene.config):
        scene.wait_until_it_measures()
        scene.desire(2, config, sha256="0" * 64)
        wait_for(lambda: scene.verdicts(2), 30)
        scene.desire(3, config)
        wait_for(lambda: scene.verdicts(3), 30)
    assert scene.verdicts(2) == [(False, f"its SHA-256 is {config_sha256(config)}, not {'0' * 64}")]
    assert scene.verdicts(3) == [(True, "")]


def test_the_same_command_three_times_acts_once(scene: Scene) -> None:
    with agent(scene.config):
        scene.wait_until_it_measures()
        for _ in range(3):
            scene.command("c1", "identify", device="s01")
        wait_for(lambda: scene.states("c1") == ["acked", "done"], 30)
        scene.command("c1", "identify", device="s01")
        scene.command("c2", "dance")
        wait_for(lambda: scene.states("c2") == ["acked", "failed"], 30)
    assert scene.states("c1") == ["acked", "done"]
    assert scene.shelf.lamp == [True, False] * 5
    (done,) = [answer for answer in scene.answers() if answer.state == "done"]
    assert done.result["blinked"] == ["s01"]
    assert done.result["devices"]["s01"]["silent"] is False
    (failed,) = [answer for answer in scene.answers() if answer.state == "failed"]
    assert failed.error == "this agent knows no command 'dance'"


def test_a_tare_zeroes_the_scale_once_and_is_no_sale(scene: Scene) -> None:
    with agent(scene.config):
        wait_for(lambda: len(events(scene.platform)) == 4, 30)
        for _ in range(2):
            scene.command("t1", "tare", slot="s01-b1")
        wait_for(lambda: scene.states("t1") == ["acked", "done"], 30)
        wait_for(lambda: len(events(scene.platform)) == 5, 30)
        scene.items[0] += 1
        wait_for(lambda: len(events(scene.platform)) == 6, 60)
        scene.command("t2", "tare", device="s01", bay=9)
        wait_for(lambda: len(scene.states("t2")) == 2, 30)
    assert events(scene.platform)[4:] == [
        ("s01-b1", EventKind.ADJUST, 0, 12),
        ("s01-b1", EventKind.RESTOCK, 1, 13),
    ]
    assert scene.shelf.tared == [0]
    (done,) = [answer for answer in scene.answers() if answer.state == "done"]
    assert done.result["slots"] == ["s01-b1"]
    assert abs(done.result["before_g"] - 12 * UNIT_G) < 20
    assert abs(done.result["after_g"]) < 20
    assert scene.answers()[-1].error == "no bay of this gateway has channel 's01-b9.weight_g'"


def test_a_refill_check_tells_what_lies_there_and_takes_a_count(scene: Scene) -> None:
    with agent(scene.config):
        wait_for(lambda: len(events(scene.platform)) == 4, 30)
        scene.command("r1", "refill_check")
        wait_for(lambda: scene.states("r1") == ["acked", "done"], 30)
        scene.command("r2", "refill_check", count={"s01-b2": 9}, explain=True)
        wait_for(lambda: scene.states("r2") == ["acked", "done"], 30)
        wait_for(lambda: len(events(scene.platform)) == 5, 30)
        scene.command("r3", "refill_check", count={"s01-b2": 3, "nowhere": 1})
        wait_for(lambda: scene.states("r3") == ["acked", "failed"], 30)
    told = {answer.cmd: answer.result for answer in scene.answers() if answer.state == "done"}
    assert {slot["slot"]: slot["on_shelf"] for slot in told["r1"]["slots"]} == {
        "s01-b1": 12, "s01-b2": 8, "s01-b3": 0, "s01-b4": 20
    }  # fmt: skip
    assert abs(told["r1"]["slots"][0]["grams"] - 12 * UNIT_G) < 20
    assert all(0.0 <= slot["conf"] <= 1.0 for slot in told["r1"]["slots"])
    assert [slot["slot"] for slot in told["r2"]["slots"]] == ["s01-b2"]
    assert told["r2"]["slots"][0]["on_shelf"] == 9
    assert told["r2"]["slots"][0]["recent"][-1]["why"] == "count"
    assert events(scene.platform)[-1] == ("s01-b2", EventKind.ADJUST, 1, 9)
    assert scene.answers()[-1].error == "no slot is named 'nowhere'"


def test_kill_9_in_the_middle_of_a_command_never_acts_twice_and_one_that_waited_acts(scene: Scene) -> None:
    with agent(scene.config) as process:
        scene.wait_until_it_measures()
        scene.command("c1", "identify", device="s01")
        scene.command("c2", "identify", device="nobody")
        wait_for(lambda: len(scene.shelf.lamp) >= 3 and scene.states("c2") == ["acked"], 30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lamp = len(scene.shelf.lamp)
    with agent(scene.config):
        wait_for(lambda: len(scene.states("c1")) == 2 and len(scene.states("c2")) == 2, 30)
        scene.wait_until_it_measures()
    assert scene.states("c1") == ["acked", "failed"]
    assert [a.error[:11] for a in scene.answers() if a.cmd == "c1"] == ["", "interrupted"]
    assert [a.error for a in scene.answers() if a.cmd == "c2"] == ["", "no device is named 'nobody'"]
    assert len(scene.shelf.lamp) == lamp


def test_a_command_that_came_too_late_is_not_acted_on(scene: Scene) -> None:
    scene_command_at_the_broker(scene)
    with agent(scene.config):
        wait_for(lambda: len(scene.states("late")) == 2, 30)
    assert scene.states("late") == ["acked", "expired"]
    assert scene.shelf.lamp == []


def scene_command_at_the_broker(scene: Scene) -> None:
    """Once connected, the gateway has a session: what is said while it is away waits there."""
    with agent(scene.config) as process:
        scene.wait_until_it_measures()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    scene.command("late", "identify", life_s=0.001, device="s01")


def test_what_is_no_command_is_counted_and_harmless(scene: Scene) -> None:
    with agent(scene.config):
        scene.wait_until_it_measures()
        for poison in (b"", b"{", b"[" * 60_000, b'{"kind":"tare"}', b"\xff", b'{"id":1,"kind":"tare","expires":1}'):
            scene.say(Down.CMD, poison)
        scene.say(Down.CFG, b'{"version":-1}')
        scene.command("after", "identify", device="nobody")
        wait_for(lambda: scene.states("after") == ["acked", "failed"], 30)
    assert scene.log().count("downlink_unreadable") == 7


def test_a_restart_answers_done_when_it_came_back_healthy(scene: Scene) -> None:
    with agent(scene.config, SHELFPULSE_SUPERVISED="1") as process:
        scene.wait_until_it_measures()
        scene.command("r1", "restart")
        assert process.wait(30) == 0
    assert "done" not in scene.states("r1")
    with agent(scene.config, SHELFPULSE_SUPERVISED="1") as process:
        wait_for(lambda: scene.states("r1") == ["acked", "done"], 30)
        scene.wait_until_it_measures()
        assert process.poll() is None


def test_a_restart_is_refused_where_nobody_would_start_the_agent_again(scene: Scene) -> None:
    with agent(scene.config, INVOCATION_ID="", SHELFPULSE_SUPERVISED="") as process:
        scene.wait_until_it_measures()
        scene.command("r1", "restart")
        wait_for(lambda: scene.states("r1") == ["acked", "failed"], 30)
        assert process.poll() is None


def test_what_is_in_force_is_shown(scene: Scene) -> None:
    with agent(scene.config):
        scene.wait_until_it_measures()
        scene.desire(2, {"device": [scene.device("x01", 1)]} | {"slots": []})
        wait_for(lambda: scene.verdicts(2), 30)
    shown = subprocess.run(
        edge("config", "show", "--config", scene.config, "--json"), capture_output=True, check=True, timeout=30
    )
    told = json.loads(shown.stdout)
    assert (told["version"], told["state"]) == (2, "applied")
    assert [device["name"] for device in told["device"]] == ["x01"]
