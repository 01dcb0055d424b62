"""Users and what they may, as the files that brokers read. Pure.

A gateway may publish below its own names and hear what the platform says to it: nothing else, and no name stands for
several gateways. Users beside the gateways are the platform's own, and in a local stack one for simulators.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from contracts.ids import bucket_of, username
from contracts.topics import ROOT, GatewayAddress
from platform_api.devices.secrets import Hashes

# Deliveries of QoS 1 and 2 subscriptions come over subjects of the server's own. It keeps clients from subscribing to
# those of others.
_NATS_DELIVERIES: Final = ("$MQTT.sub.>", "$MQTT.deliver.>")


class Gateway(NamedTuple):
    """A gateway with a live credential."""

    address: GatewayAddress
    hashes: Hashes


class Scope(StrEnum):
    """What a user beside the gateways may do."""

    PLATFORM = "platform"
    """Everything of the protocol, and the broker's statistics."""
    ANY_DEVICE = "any_device"
    """Speak and hear for every gateway: for simulators of a local stack."""


class StaticUser(NamedTuple):
    """A user that no claim made."""

    name: str
    hashes: Hashes
    scope: Scope


class Spelling(Protocol):
    """How one kind of broker spells users and rights."""

    @property
    def programs(self) -> frozenset[str]:
        """Names that its process may have."""
        ...

    def files(self, users: Iterable[StaticUser], gateways: Iterable[Gateway]) -> Mapping[str, str]:
        """Text of each file, by name."""
        ...


def publishes(address: GatewayAddress) -> tuple[str, ...]:
    """Topic filters that a gateway may publish to: its lanes, ``raw`` and its presence."""
    path = "/".join(address)
    return (
        f"{ROOT}/up/{bucket_of(address.gateway)}/{path}/+",
        f"{ROOT}/raw/{path}",
        f"{ROOT}/st/{path}",
    )


def hears(address: GatewayAddress) -> tuple[str, ...]:
    """Topic filters that a gateway may subscribe: acks, configurations and commands of its own."""
    return (f"{ROOT}/dn/{'/'.join(address)}/+",)


class MosquittoSpelling:
    """``password_file`` and ``acl_file``."""

    programs = frozenset({"mosquitto"})
    passwords: Final = "passwords"
    access: Final = "access"

    def files(self, users: Iterable[StaticUser], gateways: Iterable[Gateway]) -> Mapping[str, str]:
        """Both files, a user a paragraph."""
        passwords: list[str] = []
        rights: list[str] = []
        for user in users:
            passwords.append(f"{user.name}:{user.hashes.pbkdf2}")
            rights += [f"user {user.name}", *_STATIC_RIGHTS[user.scope], ""]
        for address, hashes in gateways:
            name = username(address.tenant, address.gateway)
            passwords.append(f"{name}:{hashes.pbkdf2}")
            rights.append(f"user {name}")
            rights += [f"topic write {topic}" for topic in publishes(address)]
            rights += [*(f"topic read {topic}" for topic in hears(address)), ""]
        return {self.passwords: "\n".join(passwords) + "\n", self.access: "\n".join(rights)}


_STATIC_RIGHTS: Final = {
    Scope.PLATFORM: (f"topic readwrite {ROOT}/#", "topic read $SYS/#"),
    Scope.ANY_DEVICE: (
        f"topic write {ROOT}/up/#",
        f"topic write {ROOT}/raw/#",
        f"topic write {ROOT}/st/#",
        f"topic read {ROOT}/dn/#",
    ),
}


class NatsSpelling:
    """A list of users, which the server's configuration includes."""

    programs = frozenset({"nats-server"})
    users: Final = "users.conf"

    def files(self, users: Iterable[StaticUser], gateways: Iterable[Gateway]) -> Mapping[str, str]:
        """The one file."""
        entries = [_nats_user(user.name, user.hashes, *_STATIC_SUBJECTS[user.scope]) for user in users]
        entries += [
            _nats_user(
                username(address.tenant, address.gateway),
                hashes,
                [_subject(topic) for topic in publishes(address)],
                [_subject(topic) for topic in hears(address)],
            )
            for address, hashes in gateways
        ]
        lines = ",\n".join(json.dumps(entry) for entry in entries)
        return {self.users: f"users: [\n{lines}\n]\n"}


# A filter that ends in # means the level above it as well.
_BASE: Final = ROOT.replace("/", ".")
_STATIC_SUBJECTS: Final = {
    Scope.PLATFORM: ([f"{_BASE}.>"], [_BASE, f"{_BASE}.>"]),
    Scope.ANY_DEVICE: ([f"{_BASE}.up.>", f"{_BASE}.raw.>", f"{_BASE}.st.>"], [f"{_BASE}.dn", f"{_BASE}.dn.>"]),
}


def _nats_user(name: str, hashes: Hashes, publish: list[str], subscribe: list[str]) -> dict[str, Any]:
    return {
        "user": name,
        "password": hashes.bcrypt,
        "permissions": {"publish": publish, "subscribe": [*subscribe, *_NATS_DELIVERIES]},
    }


def _subject(topic: str) -> str:
    return topic.replace("/", ".").replace("+", "*")
