"""The tables of ``edge.toml``, as pydantic checks them. What they mean is in ``settings``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import IDENTIFIER_PATTERN
from edge_agent.bus.registers import BAYS_MAX, REGISTER_MAX, Function, Kind, WordOrder
from edge_agent.bus.rfid import MISSED_ROUNDS

Name = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
Period = Annotated[float, Field(gt=0.0, le=86_400.0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerTable(_Table):
    """Where to send: ``mqtts://`` or, without TLS, ``mqtt://`` [user[:password]@]host[:port].

    Without TLS only to this machine, unless ``allow_plaintext`` says otherwise.
    """

    url: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    allow_plaintext: bool = False


class OutboxTable(_Table):
    """The file that keeps what the platform has not committed yet."""

    path: Path = Path("outbox.db")
    max_mib: Annotated[int, Field(ge=1, le=1_048_576)] = 256
    max_days: Annotated[float, Field(gt=0.0, le=400.0)] = 30.0


class ReportTable(_Table):
    """When readings are sent and frames closed."""

    heartbeat_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = 10.0
    frame_readings: Annotated[int, Field(ge=1, le=1_000)] = 50
    frame_ms: Annotated[int, Field(ge=10, le=60_000)] = 250


class TcpBus(_Table):
    """Modbus TCP: one connection, one request at a time."""

    kind: Literal["tcp"]
    name: Name
    host: str
    port: Annotated[int, Field(ge=1, le=65_535)] = 502
    timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 1.0


class RtuBus(_Table):
    """Modbus RTU on a serial line."""

    kind: Literal["rtu"]
    name: Name
    device: str
    baudrate: Annotated[int, Field(ge=300, le=4_000_000)] = 9_600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 1.0


Bus = TcpBus | RtuBus


class RegisterTable(_Table):
    """A register of a device that no profile knows. ``bit``: which bit of the word, for type ``bit`` in a word."""

    metric: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")]
    function: Function = Function.INPUT_REGISTERS
    address: Annotated[int, Field(ge=0, le=REGISTER_MAX)]
    type: Kind = Kind.UINT16
    scale: float = 1.0
    offset: float = 0.0
    word_order: WordOrder = WordOrder.BIG
    period_s: Period = 10.0
    deadband: Annotated[float, Field(ge=0.0)] = 0.0
    bit: Annotated[int, Field(ge=0, le=15)] = 0


class RowTable(RegisterTable):
    """A row of a profile; with ``step`` one register a bay, with ``flag_word`` bad while the bay's bit is set there."""

    step: Annotated[int, Field(ge=0, le=REGISTER_MAX)] = 0
    flag_word: Annotated[int, Field(ge=0, le=REGISTER_MAX)] | None = None


class TareTable(_Table):
    """What tares bay 1 (the next bay has the next address): a coil (function 1) or a holding register (3)."""

    function: Literal[Function.COILS, Function.HOLDING_REGISTERS] = Function.HOLDING_REGISTERS
    address: Annotated[int, Field(ge=0, le=REGISTER_MAX - BAYS_MAX)]
    value: Annotated[int, Field(ge=0, le=REGISTER_MAX)] = 1


class ProfileTable(_Table):
    """The registers of a kind of device, for all that name it."""

    name: Name
    register_: Annotated[list[RowTable], Field(alias="register", min_length=1)]
    tare: TareTable | None = None


class DeviceTable(_Table):
    """One Modbus unit on a bus."""

    name: Name
    bus: Name
    unit: Annotated[int, Field(ge=1, le=247)]
    profile: str = "generic"
    bays: Annotated[int, Field(ge=1, le=BAYS_MAX)] = 4
    period_s: Period | None = None
    deadband: dict[str, Annotated[float, Field(ge=0.0)]] = {}
    identify_coil: Annotated[int, Field(ge=0, le=REGISTER_MAX)] | None = None
    register_: Annotated[list[RegisterTable], Field(alias="register")] = []


class IntakeTable(_Table):
    """Where RFID readers post their rounds.

    Off the loopback interface ``token_file`` (mode 0600) is needed, and TLS or the word that it shall be without.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8711
    token_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    allow_plaintext: bool = False


class ReaderTable(_Table):
    """An RFID reader that posts rounds: channels ``{name}.tag_count`` and ``{name}.portal_count``."""

    name: Name
    missed_rounds: Annotated[int, Field(ge=1, le=1_000)] = MISSED_ROUNDS


class RemoteTable(_Table):
    """What the platform may change, and how long a change is watched before it is kept."""

    health_window_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = 60.0


class DesiredTables(_Table):
    """What may be set from afar: never who the gateway is, where it sends, and where it keeps what it sends.

    A table that is left out stays as ``edge.toml`` has it. ``slots`` are rows with the columns of the slots file.
    """

    report: ReportTable | None = None
    bus: list[Annotated[Bus, Field(discriminator="kind")]] | None = None
    profile: list[ProfileTable] | None = None
    device: list[DeviceTable] | None = None
    slots: Annotated[list[dict[str, Any]], Field(max_length=10_000)] | None = None


class EdgeToml(_Table):
    """The whole file."""

    tenant: Name
    site: Name
    gateway: Name
    slots: Path | None = None
    drain_s: Annotated[float, Field(ge=0.0, le=3_600.0)] = 0.0
    broker: BrokerTable = BrokerTable()
    outbox: OutboxTable = OutboxTable()
    report: ReportTable = ReportTable()
    remote: RemoteTable = RemoteTable()
    intake: IntakeTable = IntakeTable()
    bus: list[Annotated[Bus, Field(discriminator="kind")]] = []
    profile: list[ProfileTable] = []
    device: list[DeviceTable] = []
    reader: list[ReaderTable] = []


def key_of(location: Iterable[int | str]) -> str:
    """A key as it stands in the file: ``device[2].unit`` (counted from 1)."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        elif part not in {"tcp", "rtu"}:  # pydantic names the union's member too
            text += f".{part}" if text else part
    return text or "file"
