"""Configuration of one gateway: ``edge.toml`` and the slots file it names. See ``examples/edge.toml``.

Every mistake is a ``UserError`` of one line that names the file and the key (or line). Relative paths are
relative to the file that names them.
"""

import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from contracts.errors import UserError
from contracts.topics import GatewayAddress
from edge_agent.bus.registers import (
    PROFILES,
    REGISTER_MAX,
    Function,
    Kind,
    Profile,
    Register,
    Row,
    Write,
    expand,
    with_deadbands,
)
from edge_agent.slots_file import Slot, check_slots, read_slots
from edge_agent.tables import (
    BrokerTable,
    Bus,
    DesiredTables,
    DeviceTable,
    EdgeToml,
    IntakeTable,
    ProfileTable,
    RegisterTable,
    ReportTable,
    RowTable,
    key_of,
)

CHANNELS_MAX: Final = 10_000
"""Channels of one gateway, as the platform allows."""
TOKEN_MIN_CHARS: Final = 16
BROKER_VARIABLES: Final = ("MQTT_URL", "SHELFPULSE_MQTT_URL")
_TLS_FILES: Final = ("ca_file", "cert_file", "key_file")
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """A parsed broker address. ``password`` never goes into a log.

    ``cert_file`` and ``key_file`` (PEM) are the gateway's own certificate, for a broker that asks for one; ``ca_file``
    the authorities to believe, else the system's. All are read anew for each connection, so they may be renewed.
    """

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __repr__(self) -> str:
        """The address without the secret, since settings are logged."""
        scheme = "mqtts" if self.tls else "mqtt"
        return f"{scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Device:
    """A unit on a bus with its registers."""

    name: str
    bus: str
    unit: int
    profile: str
    bays: int
    registers: tuple[Register, ...]
    identify_coil: int | None = None
    tare: Write | None = None


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """Where RFID readers post, and after how many missed rounds a tag of each is removed. ``token`` is secret."""

    host: str
    port: int
    token: str = field(repr=False)
    readers: Mapping[str, int]
    tls: tuple[Path, Path] | None = None
    """Certificate and key of the server, as PEM files."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that an agent is told. ``health_window_s``: how long a configuration from afar is on trial."""

    source: Path
    address: GatewayAddress
    broker: Broker | None
    outbox: Path
    outbox_max_bytes: int
    outbox_max_age_s: float
    report: ReportTable
    drain_s: float
    health_window_s: float
    buses: Mapping[str, Bus]
    profiles: Mapping[str, Profile]
    devices: tuple[Device, ...]
    slots: tuple[Slot, ...]
    intake: IntakeSettings | None = None


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read ``edge.toml``, and the slots file that it names. Raises UserError.

    The broker is the file's; without one there, that of ``MQTT_URL`` (or ``SHELFPULSE_MQTT_URL``).
    """
    table = _parse(path)
    buses = _buses(path, table.bus)
    profiles = _profiles(path, table.profile)
    devices = _devices(path, table.device, profiles)
    _check_devices(path, devices, buses)
    address = GatewayAddress(table.tenant, table.site, table.gateway)
    slots = [] if table.slots is None else read_slots(path.parent / table.slots, address, _channels(devices))
    return Settings(
        source=path,
        address=address,
        broker=_broker(path, table.broker, environ),
        outbox=path.parent / table.outbox.path,
        outbox_max_bytes=table.outbox.max_mib * 1024 * 1024,
        outbox_max_age_s=table.outbox.max_days * 86_400.0,
        report=table.report,
        drain_s=table.drain_s,
        health_window_s=table.remote.health_window_s,
        buses=buses,
        profiles=profiles,
        devices=devices,
        slots=tuple(slots),
        intake=_intake(path, table, devices),
    )


def amend(base: Settings, desired: Mapping[str, Any], where: str) -> Settings:
    """The settings with what is desired from afar: each of its tables replaces that of ``edge.toml`` as a whole.

    ``where`` names it in the UserError that every mistake is. See ``DesiredTables`` for what may be set.
    """
    try:
        table = DesiredTables.model_validate(desired)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, text = key_of(first["loc"]), first["msg"].lower()
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            text = f"cannot be set from afar, only {', '.join(DesiredTables.model_fields)} can"
        _fail(where, f"{key}: {text}", error)
    buses = base.buses if table.bus is None else _buses(where, table.bus)
    if table.profile is not None and table.device is None:
        _fail(where, "profile: comes with device; devices that are left out keep the registers that they have")
    profiles = base.profiles if table.profile is None else _profiles(where, table.profile)
    devices = base.devices if table.device is None else _devices(where, table.device, profiles)
    _check_devices(where, devices, buses)
    channels = _channels(devices)
    if table.slots is None:
        slots = base.slots
        for slot in slots:
            if slot.channel not in channels:
                _fail(where, f"device: slot {slot.name!r} needs channel {slot.channel!r}; send slots too")
    else:
        rows = [(f"{where}: slots[{k}]", row) for k, row in enumerate(table.slots, 1)]
        slots = tuple(check_slots(where, rows, channels))
    return replace(
        base, report=table.report or base.report, buses=buses, profiles=profiles, devices=devices, slots=slots
    )


def _parse(path: Path) -> EdgeToml:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise UserError(msg, "give the gateway's configuration with --config edge.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not TOML: {error}"
        raise UserError(msg) from error
    try:
        return EdgeToml.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"{path}: {key_of(first['loc'])}: {first['msg'].lower()}"
        raise UserError(msg) from error


def _buses(where: object, tables: Iterable[Bus]) -> dict[str, Bus]:
    buses = {bus.name: bus for bus in tables}
    _check_unique(where, "bus", "name", [bus.name for bus in tables])
    return buses


def _profiles(where: object, tables: Iterable[ProfileTable]) -> dict[str, Profile]:
    """Our own profiles and those of the file."""
    profiles = dict(PROFILES)
    for table in tables:
        if table.name in profiles:
            _fail(where, f"profile: name {table.name!r} is there twice")
        tare = None if table.tare is None else Write(table.tare.function, table.tare.address, table.tare.value)
        profiles[table.name] = Profile(table.name, tuple(map(_row, table.register_)), tare)
    return profiles


def _row(table: RegisterTable) -> Row:
    row = Row(
        table.metric,
        table.function,
        table.address,
        table.type,
        table.scale,
        table.offset,
        table.period_s,
        table.deadband,
        word_order=table.word_order,
        bit=table.bit,
    )
    return row._replace(step=table.step, flag_word=table.flag_word) if isinstance(table, RowTable) else row


def _devices(where: object, tables: Iterable[DeviceTable], profiles: Mapping[str, Profile]) -> tuple[Device, ...]:
    return tuple(_device(where, position, table, profiles) for position, table in enumerate(tables))


def _device(where: object, position: int, table: DeviceTable, profiles: Mapping[str, Profile]) -> Device:
    key = f"device[{position + 1}]"
    profile = profiles.get(table.profile)
    if profile is None:
        _fail(where, f"{key}.profile: {table.profile!r} is none of {', '.join(profiles)}")
    registers = expand(profile, table.name, bays=table.bays, period_s=table.period_s)
    registers = with_deadbands(registers, table.deadband)
    registers += expand(Profile(table.profile, tuple(map(_row, table.register_))), table.name, bays=1)
    if not registers:
        _fail(where, f"{key}: profile {table.profile!r} has no registers; add [[device.register]] tables")
    for register in registers:
        if register.address + register.count - 1 > REGISTER_MAX:
            _fail(where, f"{key}: {register.channel} ends after register {REGISTER_MAX}")
        if register.function in {Function.COILS, Function.DISCRETE_INPUTS} and register.kind is not Kind.BIT:
            _fail(where, f"{key}: {register.channel}: functions 1 and 2 go with type bit only")
    return Device(
        name=table.name,
        bus=table.bus,
        unit=table.unit,
        profile=table.profile,
        bays=table.bays,
        registers=tuple(registers),
        identify_coil=table.identify_coil,
        tare=profile.tare,
    )


def _intake(path: Path, table: EdgeToml, devices: Iterable[Device]) -> IntakeSettings | None:
    """The intake of RFID readers, or None when there are none."""
    if not table.reader:
        return None
    names = [reader.name for reader in table.reader]
    _check_unique(path, "reader", "name, of a reader or device,", [*names, *(device.name for device in devices)])
    token = ""
    if table.intake.token_file is not None:
        token = _check_readable(path, "intake.token_file", path.parent / table.intake.token_file, private=True)
        if len(token) < TOKEN_MIN_CHARS:
            _fail(path, f"intake.token_file: a token has at least {TOKEN_MIN_CHARS} characters")
    elif not is_loopback(table.intake.host):
        _fail(path, f"intake.token_file: whoever reaches {table.intake.host} could post; name a file with a token")
    readers = {reader.name: reader.missed_rounds for reader in table.reader}
    return IntakeSettings(table.intake.host, table.intake.port, token, readers, _intake_tls(path, table.intake))


def _intake_tls(path: Path, table: IntakeTable) -> tuple[Path, Path] | None:
    if table.cert_file is not None and table.key_file is not None:
        cert, key = path.parent / table.cert_file, path.parent / table.key_file
        _check_readable(path, "intake.cert_file", cert, private=False)
        _check_readable(path, "intake.key_file", key, private=True)
        return cert, key
    if table.cert_file is not None or table.key_file is not None:
        _fail(path, "intake: cert_file and key_file go together")
    if not table.allow_plaintext and not is_loopback(table.host):
        _fail(path, "intake: the token would cross the network in the clear; name cert_file and key_file,"
                    " or say intake.allow_plaintext = true")  # fmt: skip
    return None


def _check_devices(where: object, devices: Sequence[Device], buses: Mapping[str, Bus]) -> None:
    for position, device in enumerate(devices, 1):
        if device.bus not in buses:
            _fail(where, f"device[{position}].bus: no [[bus]] is named {device.bus!r}")
    _check_unique(where, "device", "name", [device.name for device in devices])
    _check_unique(where, "device", "unit on its bus", [f"{device.bus}/{device.unit}" for device in devices])
    channels = [register.channel for device in devices for register in device.registers if register.channel]
    _check_unique(where, "channel", "name", channels)
    if len(channels) > CHANNELS_MAX:
        _fail(where, f"{len(channels)} channels are over {CHANNELS_MAX}, the most that a gateway may have")


def _channels(devices: Iterable[Device]) -> set[str]:
    return {register.channel for device in devices for register in device.registers}


def _check_unique(where: object, what: str, key: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            _fail(where, f"{what}: {key} {value!r} is there twice")
        seen.add(value)


def _broker(path: Path, table: BrokerTable, environ: Mapping[str, str]) -> Broker | None:
    """The broker, or None when none is named (``edge check`` and ``edge infer`` need none)."""
    if table.url:
        broker = parse_broker(table.url, f"{path}: broker.url")
    else:
        for variable in BROKER_VARIABLES:
            if environ.get(variable):
                broker = parse_broker(environ[variable], variable)
                break
        else:
            return None
    if not broker.tls and not table.allow_plaintext and not is_loopback(broker.host):
        _fail(path, f"broker: {broker!r} would send in the clear; use mqtts://, or say broker.allow_plaintext = true")
    files = {key: file for key in _TLS_FILES if (file := getattr(table, key)) is not None}
    if files and not broker.tls:
        _fail(path, f"broker.{min(files)}: goes with mqtts:// only, and {broker!r} is in the clear")
    if (table.cert_file is None) != (table.key_file is None):
        _fail(path, "broker: cert_file and key_file go together")
    for key, file in files.items():
        _check_readable(path, f"broker.{key}", path.parent / file, private=key == "key_file")
    password = broker.password
    if table.password_file is not None:
        password = _check_readable(path, "broker.password_file", path.parent / table.password_file, private=True)
    return replace(broker, password=password, **{key: path.parent / file for key, file in files.items()})


def is_loopback(host: str) -> bool:
    """Whether bytes to ``host`` stay on this machine, so that nobody can read them on the way."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_broker(url: str, where: str) -> Broker:
    """Parse ``mqtt://user:password@host:port`` (``mqtts://``: TLS). ``where`` names it in the UserError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        msg = f"{where}: {error}"
        raise UserError(msg) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        msg = f"{where}: not mqtt://[user[:password]@]host[:port] (or mqtts://, with TLS)"
        raise UserError(msg)
    return Broker(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _check_readable(path: Path, key: str, file: Path, *, private: bool) -> str:
    """The text of ``file``, which only we may read when it is ``private``."""
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        _fail(path, f"{key}: cannot read {file}: {error}", error)
    if private and mode & 0o077:
        _fail(path, f"{key}: others can read {file}; chmod 600 it")
    return text


def _fail(where: object, text: str, cause: BaseException | None = None) -> NoReturn:
    msg = f"{where}: {text}"
    raise UserError(msg) from cause
