"""A release from afar on a gateway that works: the platform's command, a signature, the guard, and the way back.

The releases are made, signed and verified by the command line, with a key of the minisign program; the second one is
a real release as well, whose program was broken before it was signed.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from contracts.frames import Answer
from deploy.releases.building import Member, write
from edge_agent.update import guard
from tests.integration.edge.test_remote_agent import Scene, make_scene
from tests.integration.edge.update_world import Quiet, serving
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle

MINISIGN = shutil.which("minisign") or ""
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not MINISIGN, reason="minisign is not installed"),
]
RELEASE = "9.8.7"
WINDOW_S = 3.0


@dataclass
class Publisher:
    """Serves signed releases from ``folder`` at ``url``; the key's public half is ``key``."""

    folder: Path
    url: str
    secret: Path
    key: Path

    def publish(self, manifest: Path) -> str:
        """Sign a manifest that lies in the folder, check it as an operator would, and say where it is."""
        shelfpulse("release", "sign", manifest, "--key", self.secret)
        assert "good:" in shelfpulse("release", "verify", manifest, "--key", self.key)
        return f"{self.url}/{manifest.name}"


def shelfpulse(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real release, not signed yet."""
    folder = tmp_path_factory.mktemp("built")
    shelfpulse("release", "build", "--out", folder, "--release", RELEASE)
    return folder


@pytest.fixture
def publisher(built: Path, tmp_path: Path) -> Iterator[Publisher]:
    folder, secret, key = tmp_path / "served", tmp_path / "release.key", tmp_path / "release.pub"
    shutil.copytree(built, folder)
    words = [MINISIGN, "-G", "-W", "-p", str(key), "-s", str(secret)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    with serving(partial(Quiet, directory=str(folder))) as url:
        yield Publisher(folder, url, secret, key)


def break_release(folder: Path, program: str) -> Path:
    """Replace the archive by one whose program passes the self-test and then is this shell script; its manifest."""
    (manifest,) = folder.glob("*.json")
    says = f'case "$*" in --version) echo "shelfpulse {RELEASE}" ;; "edge config show"*) ;; *) {program} ;; esac'
    archive = next(folder.glob("*.tar.gz"))
    write(archive, {"bin/shelfpulse": Member(f"#!/bin/sh\n{says}\n".encode(), 0o755)})
    told = json.loads(manifest.read_bytes())
    content = archive.read_bytes()
    told |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "unpacked": 10_000}
    manifest.write_text(json.dumps(told))
    return manifest


@contextmanager
def gateway(scene: Scene, home: Path) -> Iterator[None]:
    """As systemd runs it: the guard, which becomes the agent, started again whenever it ends."""
    factory = scene.folder / "factory"
    factory.write_text(f'#!/bin/sh\nexec {sys.executable} -m deploy.cli "$@"\n')
    factory.chmod(0o755)
    words = [sys.executable, "-I", guard.__file__, str(home), str(factory), "edge", "run", "--config"]
    stopping = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def supervise() -> None:
        with (scene.folder / "edge.log").open("ab") as log:
            while not stopping.is_set():
                running[:] = [subprocess.Popen([*words, str(scene.config)], stderr=log)]
                running[0].wait()

    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        while thread.is_alive():
            for process in running:
                process.kill()
            thread.join(0.2)


def answer_of(scene: Scene, id_: str, deadline_s: float = 90.0) -> Answer:
    """The last word on a command."""

    def said() -> list[Answer]:
        return [answer for answer in scene.answers() if answer.cmd == id_ and answer.state not in {"acked", ""}]

    wait_for(said, deadline_s)
    return said()[-1]


def agents(scene: Scene) -> list[str]:
    return [presence.agent for presence in scene.platform.presences if presence.state == "online"]


@pytest.fixture
def scene(broker: BrokerHandle, tmp_path: Path, publisher: Publisher) -> Iterator[Scene]:
    folder = tmp_path / "gateway"
    folder.mkdir()
    shutil.copy(publisher.key, folder / "update.pub")
    with make_scene(broker, folder) as scene:
        yield scene


def test_a_signed_release_takes_over_and_is_kept_once_it_measures_and_is_heard(
    scene: Scene, publisher: Publisher, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (manifest,) = publisher.folder.glob("*.json")
    with gateway(scene, home):
        scene.wait_until_it_measures()
        scene.command("u-1", "update", manifest=publisher.publish(manifest), window_s=WINDOW_S)
        answer = answer_of(scene, "u-1")
        assert (answer.state, answer.error) == ("done", ""), scene.log()
        assert answer.result["agent"] == RELEASE
        scene.wait_until_it_measures()
    assert agents(scene)[-1] == RELEASE
    assert guard.running(home) == RELEASE
    assert scene.states("u-1") == ["acked", "done"]


def test_a_signed_release_that_dies_is_taken_back_and_the_gateway_goes_on_measuring(
    scene: Scene, publisher: Publisher, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    manifest = break_release(publisher.folder, "kill -9 $$")
    with gateway(scene, home):
        scene.wait_until_it_measures()
        scene.command("u-1", "update", manifest=publisher.publish(manifest), window_s=WINDOW_S)
        answer = answer_of(scene, "u-1")
        assert answer.state == "failed", scene.log()
        assert "started 3 times" in answer.error
        scene.wait_until_it_measures()
    assert RELEASE not in agents(scene)
    assert guard.running(home) is None


def test_a_release_that_somebody_else_signed_never_starts(scene: Scene, publisher: Publisher, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (manifest,) = publisher.folder.glob("*.json")
    publisher.publish(manifest)
    other = tmp_path / "other"
    words = [MINISIGN, "-G", "-W", "-p", f"{other}.pub", "-s", f"{other}.key"]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    shutil.copy(f"{other}.pub", scene.folder / "update.pub")
    with gateway(scene, home):
        scene.wait_until_it_measures()
        scene.command("u-1", "update", manifest=f"{publisher.url}/{manifest.name}", window_s=WINDOW_S)
        answer = answer_of(scene, "u-1")
    assert answer.state == "failed"
    assert "key" in answer.error
    assert not (home / guard.TRIAL).exists()
    assert guard.running(home) is None
