"""Follows the readings of gateways: what is stuck, silent, creeping, too warm, or unlike its class. Pure."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.facts import AnomalyKind
from contracts.frames import Quality
from stream.facts import Columns
from stream.spike import Spike, SpikeFinder
from stream.watch.cold import ColdChain
from stream.watch.finding import FORM, Finding, Profile, device_place, series_place
from stream.watch.folds import FOLD_US, Fold, Folder
from stream.watch.frozen import Frozen
from stream.watch.scale import Jump, Scale
from stream.watch.silence import Rhythm, Silence
from stream.watch.unlike import Unlike

WEIGHT: Final = "weight_g"
FULLER: Final = 1.2
"""Times its capacity that a slot can hold."""
TOGETHER_US: Final = 30 * FOLD_US
"""Series of one device that freeze within this time have one cause."""

ProfileOf = Callable[[int], Profile]
Strictness = Callable[[str, AnomalyKind, str], float]
"""What people's labels made of a threshold: factor for (tenant, kind, place), 1.0 without labels."""


def neutral(_tenant: str, _kind: AnomalyKind, _place: str) -> float:
    """No labels."""
    return 1.0


@dataclass(slots=True)
class _Track:
    """State of one series. ``name`` and ``slot_name`` as anomalies write places."""

    profile: Profile
    name: str
    slot_name: str
    rhythm: Rhythm
    frozen: Frozen
    scale: Scale | None
    cold: ColdChain | None

    @classmethod
    def of(cls, profile: Profile) -> "_Track":
        is_scale = profile.metric == WEIGHT
        return cls(
            profile, f"{profile.gateway}/{profile.channel}", f"{profile.gateway}/{profile.slot}", Rhythm(profile),
            Frozen(), Scale() if is_scale else None, None if profile.limit_c is None else ColdChain(),
        )  # fmt: skip

    def rename(self, profile: Profile) -> None:
        """Control data has changed: what was learnt stays."""
        self.profile = self.rhythm.profile = profile
        self.slot_name = f"{profile.gateway}/{profile.slot}"
        if profile.limit_c is None:
            self.cold = None
        elif self.cold is None:
            self.cold = ColdChain()


class Watch:
    """Detectors of all series that are given to it.

    ``across``: gateways are compared by one clock, so a whole one can be found silent; without it each has its own,
    and only its last will tells that it is gone. ``spikes``: whether it looks for them, or somebody else does.
    """

    def __init__(self, *, across: bool = False, spikes: bool = True) -> None:
        self._across = across
        self._looks_for_spikes = spikes
        self._folder = Folder()
        self._spikes = SpikeFinder()
        self._tracks: dict[int, _Track] = {}
        self._silences: dict[tuple[str, str], Silence] = {}
        self._unlike = Unlike()
        self._stuck: dict[tuple[str, str, str], list[Finding]] = {}
        self._now_us = 0
        self._checked: dict[tuple[str, str], int] = {}
        self.jumps: list[tuple[Profile, Jump]] = []
        """Changes of weight that the last step settled."""

    def snapshot(self) -> bytes:
        """State for the recovery store."""
        self.jumps = []
        return pickle.dumps((FORM, self), protocol=5)

    @classmethod
    def restore(cls, snapshot: bytes) -> "Watch":
        """The watch whose ``snapshot`` this was. Raises what unpickling raises for one of another release."""
        form, watch = pickle.loads(snapshot)  # noqa: S301 - our own recovery store, which pickles anyway
        assert form == FORM
        assert isinstance(watch, cls)
        return watch

    def step(self, columns: Columns, profile_of: ProfileOf, strictness: Strictness = neutral) -> list[Finding]:
        """Anomalies that the readings open or close. Readings of one series come in order of time; others are left out.

        The columns are not changed.
        """
        self.jumps = []
        good = columns if not columns.quality.any() else columns.take(columns.quality != Quality.BAD)
        if len(good) == 0:
            return []
        ordered = good.take(np.lexsort((good.time_us, good.series)))
        limited = self._hear(ordered, profile_of)
        found = self._take_spikes(columns, profile_of) if self._looks_for_spikes else []
        for track, lo, hi in limited:
            assert track.cold is not None
            for t_us, value in zip(ordered.time_us[lo:hi].tolist(), ordered.value[lo:hi].tolist(), strict=True):
                told = track.cold.step(t_us, value, track.profile)
                if told is not None:
                    found.append(told)
        for fold in self._folder.step(ordered):
            found += self._take_fold(fold, strictness)
        self._now_us = max(self._now_us, int(np.max(good.time_us)))
        return found + self._check()

    def offline(self, tenant: str, gateway: str, at_us: int) -> list[Finding]:
        """A gateway said, or its last will, that it is gone."""
        silence = self._silences.get((tenant, gateway))
        found = None if silence is None else silence.tell_offline(at_us)
        return [] if found is None else [found]

    def is_faulty(self, profile: Profile) -> bool:
        """Whether the device of a series is known to be faulty."""
        return self._unlike.is_open(profile)

    # ------------------------------------------------------------- per chunk

    def _hear(self, ordered: Columns, profile_of: ProfileOf) -> list[tuple[_Track, int, int]]:
        """Note when each series spoke last; returns those with a limit and where their readings are."""
        series = ordered.series
        ends = np.concatenate((np.flatnonzero(series[1:] != series[:-1]), (len(series) - 1,))) + 1
        limited, lo = [], 0
        for each, hi, t_us in zip(series[ends - 1].tolist(), ends.tolist(), ordered.time_us[ends - 1].tolist(),
                                  strict=True):  # fmt: skip
            profile = profile_of(each)
            track = self._tracks.get(each)
            if track is None:
                track = self._tracks[each] = _Track.of(profile)
                silence = self._silences.setdefault((profile.tenant, profile.gateway), Silence())
                silence.rhythms[each] = track.rhythm
            elif track.profile is not profile:
                track.rename(profile)
            track.rhythm.last_us = max(track.rhythm.last_us, t_us)
            if track.cold is not None:
                limited.append((track, lo, hi))
            lo = hi
        return limited

    def _take_spikes(self, columns: Columns, profile_of: ProfileOf) -> list[Finding]:
        def name_of(series: int) -> tuple[str, str, str]:
            profile = profile_of(series)
            return profile.tenant, profile.gateway, profile.channel

        found = []
        for spike in self._spikes.step(columns, name_of):
            profile = profile_of(spike.series)
            if not self._unlike.is_open(profile) and not is_handling(spike, profile):
                found.append(_of_spike(spike, profile))
        return found

    # ------------------------------------------------------------- per minute

    def _take_fold(self, fold: Fold, strictness: Strictness) -> list[Finding]:
        track = self._tracks[fold.series]
        profile = track.profile
        track.rhythm.hear(fold.t_us, fold.n)
        self._unlike.step(fold, profile)
        found = []
        stuck = track.frozen.step(fold, profile, strictness(profile.tenant, AnomalyKind.STUCK_SENSOR, track.name))
        if stuck is not None:
            found += self._one_for_device(stuck, profile)
        if track.scale is not None and not track.frozen.is_open and not self._unlike.is_open(profile):
            stricter = strictness(profile.tenant, AnomalyKind.DRIFT, track.slot_name)
            jump, drift = track.scale.step(fold, profile, stricter)
            if jump is not None:
                self.jumps.append((profile, jump))
            if drift is not None:
                found.append(drift)
        return found

    def _one_for_device(self, stuck: Finding, profile: Profile) -> list[Finding]:
        """One anomaly for the series of a device that froze together: the first is told, the others belong to it."""
        key = (profile.tenant, profile.gateway, profile.device)
        known = self._stuck.setdefault(key, [])
        if stuck.end_us is None:
            other = next((each for each in known if abs(each.start_us - stuck.start_us) <= TOGETHER_US), None)
            known.append(stuck)
            return [] if other is not None else [stuck]
        self._stuck[key] = [each for each in known if each.id != stuck.id]
        first = known[0]
        return [stuck] if first.id == stuck.id or abs(first.start_us - stuck.start_us) > TOGETHER_US else []

    # ------------------------------------------------------------- as time passes

    def _check(self) -> list[Finding]:
        found: list[Finding] = []
        for key, silence in self._silences.items():
            now_us = self._now_us if self._across else silence.last_us
            if now_us // FOLD_US != self._checked.get(key, 0):
                self._checked[key] = now_us // FOLD_US
                found += silence.check(now_us, self._unlike.is_open)
        found += self._unlike.check(self._now_us)
        return found


def is_handling(spike: Spike, profile: Profile) -> bool:
    """Whether people may have done it: a refill and a large sale between three readings leave another count behind."""
    before, after = spike.evidence["before"], spike.evidence["returned"]
    if not profile.unit_g or not profile.capacity or before is None or after is None:
        return False
    peak_units = spike.evidence["peak"] / profile.unit_g
    is_possible = -FULLER <= peak_units <= FULLER * profile.capacity
    return is_possible and bool(abs(after - before) > profile.unit_g / 2.0)


def _of_spike(spike: Spike, profile: Profile) -> Finding:
    return Finding(
        AnomalyKind.SPIKE, series_place(profile), spike.start_us, spike.detected_us, spike.severity, spike.score,
        spike.evidence, spike.end_us,
    )  # fmt: skip


__all__ = ["ProfileOf", "Strictness", "Watch", "device_place", "is_handling", "neutral"]
