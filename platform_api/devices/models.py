"""What devices gives over HTTP. Times are RFC 3339 UTC."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from contracts.frames import Quality
from platform_api.devices.remote_models import ConfigState
from platform_api.devices.rules import CredentialState


class SiteKind(StrEnum):
    """What a site is."""

    STORE = "store"
    WAREHOUSE = "warehouse"


class Site(BaseModel):
    """A place with gateways."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "sh-001",
                    "kind": "store",
                    "name": "Nanjing Road",
                    "city": "Shanghai",
                    "org": "dealer-east",
                    "lat": 31.2304,
                    "lon": 121.4737,
                    "timezone": "Asia/Shanghai",
                    "gateways": 2,
                    "gateways_online": 2,
                }
            ]
        }
    )

    id: str
    kind: SiteKind
    name: str
    city: str
    org: str | None
    lat: float | None
    lon: float | None
    timezone: str
    gateways: int
    gateways_online: int


class GatewayState(StrEnum):
    """Whether a gateway is connected; unknown until it has said so once."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class GatewayCredential(BaseModel):
    """What the gateway proves itself with. ``invited_until``: a claim code waits to be redeemed."""

    state: CredentialState
    issued_at: datetime | None
    invited_until: datetime | None


class GatewayConfig(BaseModel):
    """Versions of its configuration: the newest desired with its state, and the newest applied."""

    desired: int | None
    applied: int | None
    state: ConfigState | None
    error: str


class Gateway(BaseModel):
    """One edge agent. ``committed_at``: when anything of it was last committed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "gw-sh-001",
                    "site": "sh-001",
                    "name": "",
                    "state": "online",
                    "since": "2026-01-05T08:00:00Z",
                    "agent": "shelfpulse/0.1.0",
                    "outbox_frames": 0,
                    "outbox_oldest_s": 0.0,
                    "committed_at": "2026-01-05T08:12:31Z",
                    "revoked_at": None,
                    "credential": {"state": "live", "issued_at": "2026-01-04T09:00:00Z", "invited_until": None},
                    "config": {"desired": 7, "applied": 7, "state": "applied", "error": ""},
                }
            ]
        }
    )

    id: str
    site: str
    name: str
    state: GatewayState
    since: datetime | None
    agent: str
    outbox_frames: int
    outbox_oldest_s: float
    committed_at: datetime | None
    revoked_at: datetime | None
    credential: GatewayCredential
    config: GatewayConfig


class Device(BaseModel):
    """A shelf controller or a sensor. ``seen_at``: time of the newest good reading of any of its channels."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "s01-b1",
                    "gateway": "gw-sh-001",
                    "site": "sh-001",
                    "profile": "loadcell_shelf",
                    "name": "",
                    "seen_at": "2026-01-05T08:12:31Z",
                }
            ]
        }
    )

    id: str
    gateway: str
    site: str
    profile: str
    name: str
    seen_at: datetime | None


class Latest(BaseModel):
    """The newest good reading. ``quality``: 0 good, 1 uncertain, 2 bad, 3 substituted."""

    time: datetime
    value: float
    quality: Quality


class Series(BaseModel):
    """A channel as the database knows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "site": "sh-001",
                    "gateway": "gw-sh-001",
                    "channel": "s01-b1.weight_g",
                    "unit": "g",
                    "interval_s": 1.0,
                    "limit_c": None,
                    "limit_s": None,
                    "latest": {"time": "2026-01-05T08:12:31Z", "value": 3960.2, "quality": 0},
                }
            ]
        },
    )

    id: int
    site: str
    gateway: str
    channel: str
    unit: str
    interval_s: float | None
    limit_c: float | None
    limit_s: float | None
    latest: Latest | None


class ChannelSetting(BaseModel):
    """What detectors are told of a channel. ``class``: devices that ought to behave alike; ``interval_s`` 0: not told.

    A temperature above ``limit_c`` for longer than ``limit_s`` breaks the cold chain.
    """

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "gateway": "gw-sh-001",
                    "channel": "s01.temp_c",
                    "class": "cooler",
                    "interval_s": 10.0,
                    "limit_c": 8.0,
                    "limit_s": 1800.0,
                }
            ]
        },
    )

    site: str
    gateway: str
    channel: str
    class_: str = Field(alias="class")
    interval_s: float
    limit_c: float | None
    limit_s: float
