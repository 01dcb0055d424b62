"""Metrics: what a channel measures, known by the metric's name, whose last part is its unit.

A table, so that a new kind of sensor is a new row. A metric that is not in it is stored all the same, with the
unit that its suffix names and no physical range.
"""

from typing import Final, NamedTuple

from contracts.ids import metric_of


class Metric(NamedTuple):
    """A kind of measurement.

    ``low`` … ``high``: values outside are impossible for the sensor, not merely unusual. ``step``: the largest
    believable change between two readings, or None. ``zh``, ``en``: names shown to people.
    """

    name: str
    unit: str
    low: float
    high: float
    step: float | None
    zh: str
    en: str


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("weight_g", "g", -5_000.0, 500_000.0, None, "重量", "Weight"),
        Metric("temp_c", "°C", -60.0, 90.0, 30.0, "温度", "Temperature"),
        Metric("humidity_pct", "%", 0.0, 100.0, 50.0, "湿度", "Humidity"),
        Metric("door_count", "", 0.0, 4_294_967_295.0, None, "开门次数", "Door openings"),
        Metric("portal_count", "", 0.0, 4_294_967_295.0, None, "通过次数", "Portal passages"),
        Metric("battery_v", "V", 0.0, 60.0, 5.0, "电池电压", "Battery"),
        Metric("supply_v", "V", 0.0, 60.0, 10.0, "供电电压", "Supply voltage"),
        Metric("rssi_dbm", "dBm", -140.0, 20.0, None, "信号强度", "Signal"),
        Metric("illuminance_lux", "lx", 0.0, 200_000.0, None, "照度", "Illuminance"),
        Metric("power_w", "W", 0.0, 1_000_000.0, None, "功率", "Power"),
        Metric("energy_kwh", "kWh", 0.0, 1e12, None, "电能", "Energy"),
        Metric("pressure_kpa", "kPa", 0.0, 10_000.0, None, "压力", "Pressure"),
    )
}

_UNITS: Final = {
    "g": "g", "kg": "kg", "c": "°C", "pct": "%", "v": "V", "a": "A", "w": "W", "kwh": "kWh", "hz": "Hz", "lux": "lx",
    "dbm": "dBm", "kpa": "kPa", "s": "s", "ms": "ms", "m": "m", "mm": "mm", "count": "", "celsius": "°C",
}  # fmt: skip


def metric_for(channel: str) -> Metric | None:
    """Metric of a channel, or None for one that the table does not have."""
    return METRICS.get(metric_of(channel))


def unit_for(channel: str) -> str:
    """Unit of a channel's values, '' when it has none or none is known."""
    metric = metric_for(channel)
    if metric is not None:
        return metric.unit
    return _UNITS.get(metric_of(channel).rpartition("_")[2], "")
