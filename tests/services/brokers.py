"""A real broker for a test, which may kill it, wipe it and start it again."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.account import hand_over, service_account
from deploy.local.broker import BrokerKind, Mosquitto, Nats, local_broker
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from deploy.local.process import Child
from deploy.local.state import Secrets


@dataclass(frozen=True)
class BrokerHandle:
    """A broker under test: ``url`` for the platform's user, ``device_url`` for a gateway's."""

    broker: Mosquitto | Nats
    children: list[Child]

    @property
    def url(self) -> str:
        return self.broker.url

    @property
    def device_url(self) -> str:
        return self.broker.device_url

    @property
    def kind(self) -> str:
        return str(self.broker.kind)

    @property
    def port(self) -> int:
        return self.broker.port

    def kill(self) -> None:
        """Kill -9; its state on disk stays."""
        self.children.pop().kill()

    def stop(self) -> None:
        """Ask it to end, as an operator would."""
        self.children.pop().stop()

    def wipe(self) -> None:
        """Lose all of its state; call while it is killed or stopped."""
        assert not self.children
        self.broker.wipe()

    def start(self) -> None:
        """Start it on the same port, and wait until it accepts connections."""
        assert not self.children
        self.broker.prepare()
        spec = self.broker.spec()
        child = Child(spec)
        self.children.append(child)
        ready = wait_until(lambda: child.poll() is not None or spec.is_ready(), spec.ready_s)
        assert ready, spec.log.read_text()
        assert child.poll() is None, spec.log.read_text()


@contextmanager
def run_broker(kind: BrokerKind | None = None) -> Iterator[BrokerHandle]:
    """A broker of its own on a free port."""
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-mqtt-"))
    account = service_account()
    hand_over(home, account)
    passwords = Secrets(database="", platform="platform/pass word", device="device", signing="")
    handle = BrokerHandle(local_broker(home, free_port(), passwords, home / "broker.log", account, kind), [])
    try:
        handle.start()
        yield handle
    finally:
        for child in handle.children:
            child.kill()
        shutil.rmtree(home)
