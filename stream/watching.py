"""The watch over one bucket's readings, in the dataflow: settings from control data in, rows of anomalies out.

Readings are gathered for a second, because a step costs about as much for ten as for a thousand of them. What the watch
learnt is saved every few minutes in the transaction of an epoch, not with each: it may be a little old after a crash.
"""

import pickle
import zlib
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import numpy as np

from contracts.presence import State
from stream.control_data import ChannelSetting, Snapshot
from stream.facts import AnomalyRow, Columns, Settled, Sighting, join_columns
from stream.kept_back import KeptBack
from stream.spike import Spike
from stream.unended import Unended
from stream.watch.finding import Finding, Profile
from stream.watch.heartbeat import Heartbeats
from stream.watch.watch import Watch, is_handling

GATHER: Final = timedelta(seconds=1)
GATHERED_MAX: Final = 20_000
"""Readings that are gathered at most."""
SAVE_EVERY: Final = timedelta(minutes=5)
SAVED_MAX_BYTES: Final = 16 * 1024 * 1024
"""A larger state is not saved: the detectors of that bucket warm up after a restart."""
BUCKETS: Final = 64
US_PER_S: Final = 1e6


class Names(Protocol):
    """What the watch asks of the control data."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        """Tenant, gateway and channel of a series."""


def key_of_state(number: int, *, is_ours: bool = True) -> str:
    """Key under which a bucket's watch is saved.

    ``is_ours`` False: the process that reads plain messages for all has readings of a bucket whose frames another one
    watches, and saves.
    """
    return f"watch-{number:02}" if is_ours else f"watch-plain-{number:02}"


class Watching:
    """The watch of bucket ``number``.

    ``saved`` is its state of before, or None, ``unended`` what is open; ``is_ours`` as for ``key_of_state``.
    """

    def __init__(
        self, number: int, names: Names, saved: bytes | None, unended: Iterable[AnomalyRow] = (), *,
        is_ours: bool = True,
    ) -> None:  # fmt: skip
        self._key = key_of_state(number, is_ours=is_ours)
        self._names = names
        self._watch = restored(saved) or Watch(spikes=False)
        self._heartbeats = Heartbeats()
        self._unended = Unended(unended)
        self._kept_back = KeptBack()
        self._gathered: list[Columns] = []
        self._count = 0
        self._due: datetime | None = None
        # Buckets take turns, so that no epoch saves all of them.
        self._save_after = SAVE_EVERY * ((number + 1) / BUCKETS)
        self._save_due: datetime | None = None
        self._version = -1
        self._profiles: dict[int, Profile] = {}
        self._slots: dict[tuple[str, str, str], tuple[str, str, float, int]] = {}

    def take(self, columns: Columns, now: datetime) -> list[Settled]:
        """Frames with the anomalies that open or close, and with the state when it is time to save it."""
        if len(columns):
            self._gathered.append(columns)
            self._count += len(columns)
        self._due = self._due or now + GATHER
        self._save_due = self._save_due or now + self._save_after
        if not self._gathered or (now < self._due and self._count < GATHERED_MAX):
            return []
        gathered, self._gathered, self._count, self._due = join_columns(self._gathered), [], 0, None
        self._refresh()
        strictness = self._names.snapshot.strictness_at
        found = self._kept_back.sift(self._watch.step(gathered, self._profile, strictness), strictness)
        self._heartbeats.hear(self._gateways_of(gathered), to_us(now))
        rows = [row_of(each) for each in found]
        told = {row.anomaly_id for row in rows}
        rows += [row for row in self._unended.hear(gathered, self._profile) if row.anomaly_id not in told]
        frames = [settled(row) for row in rows]
        if now >= self._save_due:
            self._save_due = now + SAVE_EVERY
            state = zlib.compress(self._watch.snapshot(), 1)
            if len(state) <= SAVED_MAX_BYTES:
                frames.append(Settled(None, learnt=((self._key, state),)))
        return frames

    def sight(self, sighting: Sighting) -> list[Settled]:
        """A gateway whose last will says that it is gone is a dropout as a whole.

        One that says so itself (with the time since when) is stopped by people, and missed only when it stays away.
        """
        address, presence, received_ms = sighting
        if presence.state is not State.OFFLINE or presence.since:
            return []
        found = self._watch.offline(address.tenant, address.gateway, received_ms * 1_000)
        return [settled(row_of(each)) for each in found]

    def miss(self, since: datetime, now: datetime) -> list[Settled]:
        """Gateways that said nothing for too long; all that was sent has been heard since ``since``."""
        found = []
        for tenant, gateway in self._heartbeats.fallen_silent(to_us(since), to_us(now)):
            registered = self._names.snapshot.gateways.get((tenant, gateway))
            if registered is not None and not registered.revoked:
                found += self._watch.offline(tenant, gateway, to_us(now))
        return [settled(row_of(each)) for each in found]

    def _gateways_of(self, columns: Columns) -> set[tuple[str, str]]:
        profiles = [self._profile(each) for each in np.unique(columns.series).tolist()]
        return {(profile.tenant, profile.gateway) for profile in profiles}

    def is_explained(self, spike: Spike) -> bool:
        """Whether a spike is the work of a faulty device, or of people at a shelf."""
        profile = self._profile(spike.series)
        return self._watch.is_faulty(profile) or is_handling(spike, profile)

    def _refresh(self) -> None:
        control = self._names.snapshot
        if control.version == self._version:
            return
        self._version = control.version
        self._profiles = {}
        self._slots = {
            (tenant, gateway, slot.channel): (name, slot.sku, slot.unit_weight_g, slot.capacity)
            for (tenant, gateway, name), slot in control.slots.items()
        }

    def _profile(self, series: int) -> Profile:
        profile = self._profiles.get(series)
        if profile is None:
            profile = self._profiles[series] = self._look_up(series)
        return profile

    def _look_up(self, series: int) -> Profile:
        control = self._names.snapshot
        name = tenant, gateway, channel = self._names.name_of(series)
        registered = control.gateways.get((tenant, gateway))
        setting = control.channels.get(name, ChannelSetting())
        slot, sku, unit_g, capacity = self._slots.get(name, ("", "", 0.0, 0))
        site = "" if registered is None else registered.site
        return Profile(
            tenant, site, gateway, channel, *setting, slot=slot, sku=sku, unit_g=unit_g, capacity=capacity
        )  # fmt: skip


def restored(saved: bytes | None) -> Watch | None:
    """The watch of a saved state; None when there is none, or one of another release."""
    if saved is not None:
        with suppress(zlib.error, pickle.UnpicklingError, AttributeError, ImportError, TypeError, AssertionError):
            return Watch.restore(zlib.decompress(saved))
    return None


def settled(row: AnomalyRow) -> Settled:
    """A frame of one anomaly."""
    return Settled(None, tenant=row.tenant, gateway=row.gateway, site=row.site, anomalies=(row,))


def row_of(finding: Finding) -> AnomalyRow:
    """The row of a finding."""
    place = finding.place
    return AnomalyRow(
        finding.id, place.tenant, place.site, place.gateway, finding.kind, place.kind, place.name,
        from_us(finding.start_us), None if finding.end_us is None else from_us(finding.end_us),
        from_us(finding.detected_us), finding.severity, finding.score, finding.evidence,
    )  # fmt: skip


def to_us(moment: datetime) -> int:
    """µs since 1970 of an aware time."""
    return round(moment.timestamp() * US_PER_S)


def from_us(us: int) -> datetime:
    """Aware UTC of µs since 1970."""
    return datetime.fromtimestamp(us / US_PER_S, UTC)
