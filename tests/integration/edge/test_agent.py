"""The whole agent as a process: a Modbus shelf, a broker and a platform around it."""

import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.frames import EventFrame, EventKind
from contracts.topics import Lane
from deploy.local.ports import free_port
from edge_agent.outbox import account
from tests.integration.edge.agent_process import HERE, UNIT_G, agent, configure, edge, noisy
from tests.integration.edge.shelf_server import Shelf, shelf_server
from tests.integration.edge.tiny_platform import TinyPlatform, tiny_platform
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle

ENDS_WITHIN_S = 20


def events(platform: TinyPlatform) -> list[tuple[str, EventKind, int, int | None]]:
    frames = [f for (lane, _), all_ in list(platform.committed.items()) if lane is Lane.EVT for f in list(all_)]
    return [(e.slot, e.kind, e.units, e.on_shelf) for f in frames if isinstance(f, EventFrame) for e in f.ev]


def committed_readings(platform: TinyPlatform) -> int:
    return len(platform.values(Lane.TEL)) + len(platform.values(Lane.BULK))


def readings_written(outbox: Path) -> int:
    try:
        return sum(lane.readings_written for lane in account.read(outbox).lanes)
    except UserError:
        return 0  # not made yet


def test_a_sale_at_the_shelf_reaches_the_platform_and_the_count_survives_kill_9(
    broker: BrokerHandle, tmp_path: Path
) -> None:
    shelf, items = Shelf(1), [12, 8, 0, 20]
    with (
        noisy(shelf, items),
        shelf_server(shelf) as port,
        tiny_platform(broker.url, HERE) as platform,
    ):
        config = configure(tmp_path, port, broker.device_url)
        with agent(config) as process:
            wait_for(lambda: len(events(platform)) == 4, 30)
            assert sorted(events(platform)) == [(f"s01-b{b + 1}", EventKind.ADJUST, n, n) for b, n in enumerate(items)]
            items[0] -= 2
            wait_for(lambda: len(events(platform)) == 5)
            assert events(platform)[-1] == ("s01-b1", EventKind.SALE, -2, 10)
            process.send_signal(signal.SIGKILL)
            process.wait()
        with agent(config):
            before = committed_readings(platform)
            wait_for(lambda: committed_readings(platform) > before + 10, 30)
            items[1] -= 1
            wait_for(lambda: len(events(platform)) == 6, 30)
        assert events(platform)[-1] == ("s01-b2", EventKind.SALE, -1, 7)
    words = edge("outbox", "--config", config, "--decisions", "6")
    shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    records = [json.loads(line) for line in shown]
    assert [record["units"] for record in records][-2:] == [-2, -1]
    grams = records[-1]["evidence"]["before_g"] - records[-1]["evidence"]["after_g"]
    assert grams == pytest.approx(UNIT_G, abs=15), "the grams behind the last sale"


def test_sigusr1_freezes_polling_and_sigterm_drains_so_that_nothing_waits(broker: BrokerHandle, tmp_path: Path) -> None:
    shelf = Shelf(1)
    with (
        noisy(shelf, [10, 10, 10, 10]),
        shelf_server(shelf) as port,
        tiny_platform(broker.url, HERE) as platform,
        agent(configure(tmp_path, port, broker.device_url, drain_s=15.0)) as process,
    ):
        wait_for(lambda: committed_readings(platform) > 30, 30)
        process.send_signal(signal.SIGUSR1)
        log = tmp_path / "edge.log"
        wait_for(lambda: "agent_frozen" in log.read_text())
        asked = len(shelf.requests)
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_WITHIN_S) == 0
        assert len(shelf.requests) == asked
        told = account.read(tmp_path / "outbox.db").as_json()
        assert told["frames_waiting"] == 0
        assert told["readings_written"] == committed_readings(platform)
        sent = platform.presences[-1].sent["tel"]
        assert int(sent.digest, 16) == platform.digest(Lane.TEL, sent.ep)


def test_without_a_broker_readings_wait_in_bulk_and_come_later(broker: BrokerHandle, tmp_path: Path) -> None:
    shelf = Shelf(1)
    broker.kill()
    with noisy(shelf, [10, 10, 10, 10]), shelf_server(shelf) as port:
        config = configure(tmp_path, port, broker.device_url)
        with agent(config) as process:
            wait_for(lambda: readings_written(tmp_path / "outbox.db") > 20, 30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(ENDS_WITHIN_S) == 0
        told = account.read(tmp_path / "outbox.db")
        assert {lane.lane for lane in told.lanes if lane.frames_waiting} == {"bulk", "evt"}
        broker.start()
        with tiny_platform(broker.url, HERE) as platform, agent(config):
            (bulk,) = [lane for lane in told.lanes if lane.lane == "bulk"]
            wait_for(lambda: len(platform.values(Lane.BULK)) >= bulk.readings_written, 30)


def test_health_and_metrics_are_served(broker: BrokerHandle, tmp_path: Path) -> None:
    shelf, metrics_port = Shelf(1), free_port()

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def is_up() -> bool:
        try:
            return bool(json.loads(get("/healthz"))["connected"])
        except OSError:
            return False

    with (
        shelf_server(shelf) as port,
        tiny_platform(broker.url, HERE) as platform,
        agent(configure(tmp_path, port, broker.device_url), metrics_port),
    ):
        wait_for(is_up, 30)
        wait_for(lambda: committed_readings(platform) > 0)
        metrics = get("/metrics")
    assert "shelfpulse_edge_connected 1.0" in metrics
    assert 'shelfpulse_edge_frames_written_total{lane="tel"}' in metrics


def test_check_and_outbox_speak_json(tmp_path: Path) -> None:
    shelf = Shelf(1, [3_520.0, 0.0, 0.0, 0.0])
    with shelf_server(shelf) as port:
        config = configure(tmp_path, port, "mqtt://127.0.0.1:1")
        done = subprocess.run(edge("check", "--config", config, "--json"), capture_output=True, check=True, timeout=30)
    told = json.loads(done.stdout)
    assert told["devices"][0]["ok"] is True
    assert {"channel": "s01-b1.weight_g", "value": 3520.0, "unit": "g", "quality": "good"} in told["devices"][0][
        "values"
    ]

    gone = subprocess.run(edge("check", "--config", config, "--json"), capture_output=True, check=False, timeout=30)
    assert gone.returncode == 1
    assert "cannot connect" in json.loads(gone.stdout)["devices"][0]["error"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "--config", "nowhere.toml"), "error: cannot read nowhere.toml: No such file or directory"),
        (("outbox", "--file", "nowhere.db"), "error: no outbox at nowhere.db"),
        (("outbox",), "error: which outbox?"),
        (("scan", "--tcp", "here"), "error: --tcp here: not HOST:PORT"),
    ],
)
def test_a_users_mistake_is_one_line_and_no_traceback(words: tuple[str, ...], line: str) -> None:
    done = subprocess.run(edge(*words), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == line
    assert "Traceback" not in done.stderr
