"""What live gives over HTTP."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Totals(BaseModel):
    """The numbers at the top of the wall. ``lag_ms``: age of the newest reading that is committed, null without any."""

    readings_per_s: float
    lag_ms: int | None
    devices: int
    devices_online: int
    anomalies_open: int
    proposals_live: int


class Wall(BaseModel):
    """The wall's state as of ``cursor``, which /v1/live takes as ``after``. Times are ms since 1970 UTC."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "cursor": "1767600751000000",
                    "sites": [{"id": "sh-001", "name": "Nanjing Road", "city": "Shanghai", "kind": "store"}],
                    "slots": [
                        {
                            "slot": "gw-sh-001/s01-b1",
                            "site": "sh-001",
                            "sku": "tea-500",
                            "capacity": 24,
                            "on_shelf": 12,
                            "at": 1767600751000,
                            "reorder": 8.0,
                            "series": 17,
                        }
                    ],
                    "skus": {"tea-500": ["绿茶 500 毫升", "Green tea 500 ml"]},
                    "events": [],
                    "anomalies": [],
                    "proposals": [],
                    "totals": {
                        "readings_per_s": 240.0,
                        "lag_ms": 420,
                        "devices": 40,
                        "devices_online": 40,
                        "anomalies_open": 0,
                        "proposals_live": 0,
                    },
                }
            ]
        }
    )

    cursor: str
    sites: list[dict[str, Any]]
    slots: list[dict[str, Any]]
    skus: dict[str, list[str]]
    events: list[dict[str, Any]]
    anomalies: list[dict[str, Any]]
    proposals: list[dict[str, Any]]
    totals: Totals
