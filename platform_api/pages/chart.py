"""The data of a slot's chart: its weights from telemetry, its marks from the live slice."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from platform_api.kit.db import Connection
from platform_api.live import service as live
from platform_api.telemetry import service as telemetry

CHART_RANGE: Final = timedelta(minutes=15)
CHART_POINTS: Final = 900


def read_chart(
    tx: Connection, scope: Mapping[str, object], slot: Mapping[str, Any], now: datetime
) -> dict[str, object]:
    """Weights and events of a slot over CHART_RANGE until ``now``, as the chart takes them: columns, times in ms."""
    since = now - CHART_RANGE
    rows: list[Mapping[str, Any]] = []
    series_id = slot["series_id"]
    if series_id is not None:
        series = telemetry.find_series(tx, scope, [series_id])
        if series:
            _, rows = telemetry.read_readings(tx, series[series_id], telemetry.Question(since, now, CHART_POINTS))
    return {
        "slot": f"{slot['gateway_id']}/{slot['slot_id']}",
        "series": series_id,
        "range_ms": int(CHART_RANGE.total_seconds() * 1_000),
        "at": [round(row["time"].timestamp() * 1_000) for row in rows],
        "value": [round(row["value"], 2) for row in rows],
        "events": live.slot_events(tx, scope, slot, since),
    }
