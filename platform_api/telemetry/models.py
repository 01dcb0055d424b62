"""What telemetry gives over HTTP. Times are RFC 3339 UTC."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from contracts.frames import GapReason
from contracts.topics import Lane
from platform_api.telemetry.rules import Resolution


class Point(BaseModel):
    """One reading, or the ``n`` readings from ``time`` on as their mean, least and greatest.

    ``quality`` (0 good, 1 uncertain, 2 bad, 3 substituted) is there for single readings only.
    """

    time: datetime
    value: float
    min: float
    max: float
    n: int
    quality: int | None


class Readings(BaseModel):
    """Readings of one series, in order of time. ``step_s``: spacing of the points, null for single readings."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "series_id": 17,
                    "channel": "s01-b1.weight_g",
                    "unit": "g",
                    "resolution": "1m",
                    "step_s": 60.0,
                    "items": [
                        {
                            "time": "2026-01-05T08:12:00Z",
                            "value": 3961.4,
                            "min": 3958.9,
                            "max": 3963.0,
                            "n": 60,
                            "quality": None,
                        }
                    ],
                    "next": None,
                }
            ]
        }
    )

    series_id: int
    channel: str
    unit: str
    resolution: Resolution
    step_s: float | None
    items: list[Point]
    next: str | None


class DeclaredGap(BaseModel):
    """Frames ``first`` … ``last`` of a lane that a gateway had to give up: a loss that is counted, never silent.

    ``reason``: evicted (its disk was full), corrupt, refused (the platform would not have it), or released (the
    database went back in time and asked for what was deleted).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "gateway": "gw-sh-001",
                    "lane": "tel",
                    "incarnation": "k3v9q2",
                    "first": 1201,
                    "last": 1250,
                    "reason": "evicted",
                    "noted_at": "2026-01-05T08:12:31Z",
                }
            ]
        }
    )

    site: str
    gateway: str
    lane: Lane
    incarnation: str
    first: int
    last: int
    reason: GapReason
    noted_at: datetime
