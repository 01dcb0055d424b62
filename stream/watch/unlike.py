"""``device_fault``: a device whose slow features leave its own past and its class. Pure.

Each hour a series gives its noise, the share of readings that came, and for quantities that ought to be steady (supply,
signal, humidity) their level. Each feature is standardised by its own past; what moves the whole class at once (a warm
day, a slow network) is taken off by the class' median. The squared distance over a device's features (Mahalanobis with
a diagonal covariance) must stay large for three hours.
"""

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from contracts.facts import AnomalyKind
from stream.watch.finding import HOUR_US, Finding, Profile, device_place, family_of
from stream.watch.folds import Fold

SHORT_S: Final = 300.0
"""Series with longer intervals are judged every four hours: an hour has too few of their readings."""
DIFFS_MAX: Final = 64
DIFFS_MIN: Final = 8
LEARNING: Final = 24
"""Windows before a feature may be unusual."""
RATE: Final = 0.03
STRANGE: Final = 4.0
"""Standard deviations from which on a value is not learnt …"""
STRANGE_WINDOWS: Final = 14 * 24
"""… for so many windows."""
DISTANCE: Final = 36.0
"""Squared distance at which a device is unlike its class …"""
DISTANCE_MORE: Final = 5.0
"""… and what each further one adds, of several that are judged as one: chance does not befall all of them together."""
WINDOWS: Final = 3
CLASS_MIN: Final = 5
STEADY: Final = frozenset({"battery_v", "supply_v", "rssi_dbm", "humidity_pct", "pressure_kpa", "temp_c"})
FLOORS: Final = {"noise": 0.25, "missing": 0.04, "level": 0.0}
LEVEL_FLOORS: Final = {"battery_v": 0.05, "supply_v": 0.1, "rssi_dbm": 3.0, "humidity_pct": 3.0, "pressure_kpa": 1.0,
                       "temp_c": 1.0}  # fmt: skip


@dataclass(slots=True)
class _Feature:
    """Mean and variance of one feature's own past."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0
    strange: int = 0

    def distance(self, value: float, floor: float) -> float:
        """Standardised distance, 0 while nothing is known."""
        return (value - self.mean) / math.sqrt(self.variance + floor * floor) if self.count >= LEARNING else 0.0

    def learn(self, value: float, *, is_strange: bool) -> None:
        """Take a value in; what is strange is the usual only after weeks of it."""
        self.strange = self.strange + 1 if is_strange else 0
        if 0 < self.strange <= STRANGE_WINDOWS:
            return
        if self.strange:
            self.count = self.strange = 0
        self.count += 1
        rate = max(RATE, 1.0 / self.count)
        off = value - self.mean
        self.mean += rate * off
        self.variance += rate * (off * off - self.variance) if self.count > 1 else 0.0


@dataclass(slots=True)
class _Series:
    profile: Profile
    width_us: int
    window: int = -1
    last: float = math.nan
    diffs: list[float] = field(default_factory=list)
    total: float = 0.0
    folds: int = 0
    readings: int = 0
    usual_readings: float = 0.0
    features: dict[str, _Feature] = field(default_factory=dict)


@dataclass(slots=True)
class _Device:
    high: int = 0
    low: int = 0
    since_us: int = 0
    window: int = -1
    open: Finding | None = None


class Unlike:
    """Devices of all gateways that one ``Watch`` follows."""

    def __init__(self) -> None:
        self._series: dict[int, _Series] = {}
        self._devices: dict[tuple[str, str, str], _Device] = {}
        self._faulty: set[tuple[str, str, str]] = set()
        self._due: dict[tuple[int, int], list[tuple[_Series, dict[str, float]]]] = {}

    def is_open(self, profile: Profile) -> bool:
        """Whether the device of this series is known to be faulty."""
        if not self._faulty:
            return False
        tenant, gateway = profile.tenant, profile.gateway
        return (tenant, gateway, profile.device) in self._faulty or (tenant, gateway, profile.family) in self._faulty

    def step(self, fold: Fold, profile: Profile) -> None:
        """Take the next fold of a series."""
        series = self._series.get(fold.series)
        if series is None:
            series = self._series[fold.series] = _Series(profile, window_us(profile))
        if series.profile is not profile:
            series.profile, series.width_us = profile, window_us(profile)
        width_us = series.width_us
        window = fold.t_us // width_us
        if window != series.window:
            if series.window >= 0 and series.folds:
                self._due.setdefault((width_us, series.window), []).append((series, self._features(series)))
            series.window, series.diffs, series.total, series.folds, series.readings = window, [], 0.0, 0, 0
        if len(series.diffs) < DIFFS_MAX:
            series.diffs.append(_change(fold.last - series.last, profile.unit_g))
        series.last = fold.last
        series.total += fold.mean
        series.folds += 1
        series.readings += fold.n

    def check(self, now_us: int) -> list[Finding]:
        """Judge the windows that are over everywhere."""
        found: list[Finding] = []
        for width_us, window in sorted(self._due):
            if now_us > (window + 1) * width_us + HOUR_US // 4:
                found += self._judge(width_us, window, self._due.pop((width_us, window)))
        return found

    @staticmethod
    def _features(series: _Series) -> dict[str, float]:
        features = {}
        diffs = [each for each in series.diffs if not math.isnan(each)]
        if len(diffs) >= DIFFS_MIN:
            features["noise"] = math.log(median(diffs) + 1e-3)
        usual = series.usual_readings or float(series.readings)
        features["missing"] = max(0.0, 1.0 - series.readings / usual)
        series.usual_readings = usual + (0.2 if series.readings > usual else 0.01) * (series.readings - usual)
        profile = series.profile
        if profile.metric in STEADY and profile.limit_c is None:
            features["level"] = series.total / series.folds
        return features

    def _judge(self, width_us: int, window: int, due: list[tuple[_Series, dict[str, float]]]) -> list[Finding]:
        moved: dict[tuple[str, str, str], list[float]] = {}
        scored: list[tuple[_Series, str, float, float]] = []
        for series, features in due:
            for name, value in features.items():
                floor = FLOORS[name] or LEVEL_FLOORS[series.profile.metric]
                z = series.features.setdefault(name, _Feature()).distance(value, floor)
                scored.append((series, name, value, z))
                moved.setdefault((series.profile.class_, series.profile.metric, name), []).append(z)
        common = {key: median(each) for key, each in moved.items() if len(each) >= CLASS_MIN}
        by_device: dict[tuple[str, str, str], list[tuple[_Series, str, float, float]]] = {}
        for series, name, value, z in scored:
            profile = series.profile
            rest = z - common.get((profile.class_, profile.metric, name), 0.0)
            if name != "level":
                # Less noise is a matter of stuck sensors, and more readings than usual are none.
                rest = max(rest, 0.0)
            by_device.setdefault((profile.tenant, profile.gateway, profile.device), []).append(
                (series, name, value, rest)
            )
        found = []
        for key, parts in _smallest(by_device).items():
            told = self._device(key, width_us, window, parts)
            if told is not None:
                found.append(told)
        for series, name, value, z in scored:
            is_strange = abs(z) > STRANGE or self._is_suspect(series.profile)
            series.features[name].learn(value, is_strange=is_strange)
        return found

    def _is_suspect(self, profile: Profile) -> bool:
        """Whether a fault may just have begun at its device: it must not become the measure of itself."""
        devices = (self._devices.get((profile.tenant, profile.gateway, name))
                   for name in {profile.device, profile.family})  # fmt: skip
        return any(each is not None and each.high for each in devices)

    def _device(
        self, key: tuple[str, str, str], width_us: int, window: int, parts: list[tuple[_Series, str, float, float]]
    ) -> Finding | None:  # fmt: skip
        device = self._devices.setdefault(key, _Device())
        distance = _distance(parts)
        if distance > DISTANCE:
            device.high = device.high + 1 if device.window == window - 1 or device.high == 0 else 1
            device.low = 0
            device.window = window
            if device.high == 1:
                device.since_us = window * width_us
        else:
            device.low += 1
            if device.open is None and distance > DISTANCE / 2.0 and device.window == window - 1:
                # Too little to count, too much for all to be well again.
                device.window = window
            elif device.open is None:
                device.high = 0
        end_us = (window + 1) * width_us
        if device.open is None and device.high >= WINDOWS:
            worst = sorted(parts, key=lambda part: -abs(part[3]))[:5]
            device.open = Finding(
                AnomalyKind.DEVICE_FAULT, device_place(parts[0][0].profile, key[2]), device.since_us, end_us, 0.6,
                round(1.0 - math.exp(-distance / DISTANCE * 3.0), 4),
                {"squared_distance": round(distance, 1), "features": [
                    {"series": series.profile.channel, "feature": name, "value": round(value, 3),
                     "usual": round(series.features[name].mean, 3), "standard_deviations": round(rest, 1)}
                    for series, name, value, rest in worst]},
            )  # fmt: skip
            self._faulty.add(key)
            return device.open
        if device.open is not None and device.low >= WINDOWS:
            found, device.open = device.open.closed(end_us - WINDOWS * width_us), None
            device.high = 0
            self._faulty.discard(key)
            return found
        return None


_Part = tuple[_Series, str, float, float]
"""A series, a feature's name and value, and its standardised distance."""


def _change(amount: float, unit_g: float) -> float:
    """How far a value moved; whole units that were taken or laid are no noise."""
    return abs(amount - unit_g * round(amount / unit_g)) if unit_g and not math.isnan(amount) else abs(amount)


def _distance(parts: list[_Part]) -> float:
    """Squared distance, of several devices in proportion to what is asked of so many."""
    devices = {series.profile.device for series, *_ in parts}
    if not devices:
        return 0.0
    total = sum(rest * rest for *_, rest in parts)
    return total * DISTANCE / (DISTANCE + DISTANCE_MORE * (len(devices) - 1))


def _smallest(by_device: dict[tuple[str, str, str], list[_Part]]) -> dict[tuple[str, str, str], list[_Part]]:
    """Bays that are strange together count as their controller; others by themselves."""
    families: dict[tuple[str, str, str], list[tuple[str, str, str]]] = {}
    for tenant, gateway, device in by_device:
        families.setdefault((tenant, gateway, family_of(device)), []).append((tenant, gateway, device))
    groups: dict[tuple[str, str, str], list[_Part]] = {}
    for family, members in families.items():
        strange = sum(_distance(by_device[each]) > DISTANCE / 4 for each in members)
        if len(members) > 1:
            parts = [part for each in members for part in by_device[each]]
            together = strange >= max(2, len(members) / 2)
            groups[family] = parts if together else []
            for each in members:
                if each != family:
                    groups[each] = [] if together else by_device[each]
                elif not together:
                    groups[family] = by_device[each]
        else:
            groups[members[0]] = by_device[members[0]]
    return groups


def window_us(profile: Profile) -> int:
    """How long a series is watched for one value of its features."""
    return HOUR_US if profile.interval_s <= SHORT_S else 4 * HOUR_US
