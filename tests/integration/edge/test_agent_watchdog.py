"""What systemd hears: real datagrams on a real socket, from the watchdog alone and from the whole agent."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.watchdog import watchdog
from tests.integration.edge.agent_process import agent, configure
from tests.integration.edge.shelf_server import Shelf, shelf_server
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle


class Supervisor:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name)
        self.heard: list[dict[str, str]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.heard.append(dict(line.split("=", 1) for line in message.decode().splitlines()))

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def count(self, key: str) -> int:
        return sum(key in states for states in self.heard)


@contextmanager
def supervised(name: str) -> Iterator[Supervisor]:
    supervisor = Supervisor(name)
    try:
        yield supervisor
    finally:
        supervisor.close()


@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_says_ready_once_alive_often_and_stopping_last(tmp_path: Path, *, is_abstract: bool) -> None:
    bound = f"\0shelfpulse-{tmp_path.name}" if is_abstract else str(tmp_path / "notify")
    address = bound.replace("\0", "@")
    ready = threading.Event()
    with supervised(bound) as supervisor:
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "150000"}
        dog = watchdog(environment, is_ready=ready.is_set, is_alive=lambda: True, status=lambda: "one\nline")
        assert dog is not None
        dog.start()
        wait_for(lambda: supervisor.count("STATUS") >= 2)
        assert supervisor.count("READY") == 0
        ready.set()
        wait_for(lambda: supervisor.count("READY") == 1 and supervisor.count("WATCHDOG") >= 5)
        dog.stop()
        wait_for(lambda: supervisor.heard[-1] == {"STOPPING": "1"})
        assert supervisor.count("READY") == 1
        assert supervisor.heard[0]["STATUS"] == "one line"


def test_an_agent_that_is_not_alive_is_not_vouched_for(tmp_path: Path) -> None:
    alive = threading.Event()
    alive.set()
    with supervised(str(tmp_path / "notify")) as supervisor:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "150000"}
        dog = watchdog(environment, is_ready=lambda: True, is_alive=alive.is_set, status=lambda: "")
        assert dog is not None
        dog.start()
        wait_for(lambda: supervisor.count("WATCHDOG") >= 2)
        alive.clear()
        told, vouched = supervisor.count("STATUS"), supervisor.count("WATCHDOG")
        wait_for(lambda: supervisor.count("STATUS") >= told + 3)
        assert supervisor.count("WATCHDOG") <= vouched + 1  # one may have been on its way
        dog.stop()


def test_without_a_supervisor_there_is_no_watchdog_and_one_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    assert watchdog({}, is_ready=lambda: True, is_alive=lambda: True, status=lambda: "") is None
    dog = watchdog(
        {"NOTIFY_SOCKET": str(tmp_path / "nobody")}, is_ready=lambda: True, is_alive=lambda: True, status=lambda: ""
    )
    assert dog is not None
    dog.start()
    dog.stop()


def test_the_agent_tells_systemd_that_it_is_ready_lives_and_ends(broker: BrokerHandle, tmp_path: Path) -> None:
    shelf = Shelf(1)
    with (
        shelf_server(shelf) as port,
        supervised(str(tmp_path / "notify")) as supervisor,
        agent(
            configure(tmp_path, port, broker.device_url),
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="600000",
        ) as process,
    ):
        wait_for(lambda: supervisor.count("READY") == 1 and supervisor.count("WATCHDOG") >= 3, 30)
        wait_for(lambda: supervisor.heard[-1].get("STATUS", "").startswith("connected"), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        wait_for(lambda: supervisor.heard[-1] == {"STOPPING": "1"})
