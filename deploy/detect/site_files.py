"""Files of a recorded site: slots.csv, channels.csv, frames.jsonl, and where there are pos.csv and promotions.csv."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from contracts import frames as wire
from contracts import plain
from contracts.errors import UserError
from contracts.frames import EventFrame, FrameError, TelemetryFrame
from contracts.topics import GatewayAddress, Lane, TopicError, parse_plain, parse_up
from stream import telemetry
from stream.facts import Columns
from stream.watch.finding import Profile
from stream.watch.ledger import Move, Promotion, Sale, SlotKey

SLOT_COLUMNS: Final = ("gateway", "slot", "channel", "sku", "unit_weight_g")
CHANNEL_COLUMNS: Final = ("gateway", "channel")
POS_COLUMNS: Final = ("at_ms", "gateway", "slot", "units")
PROMOTION_COLUMNS: Final = ("gateway", "slot", "start_ms", "end_ms")
MS_US: Final = 1_000


class _Line(msgspec.Struct):
    at: int
    topic: str
    payload: msgspec.Raw


class Key(NamedTuple):
    """A series by its names."""

    tenant: str
    gateway: str
    channel: str


@dataclass
class Site:
    """All that a directory holds; readings in order of time."""

    profiles: list[Profile] = field(default_factory=list)
    columns: Columns = field(default_factory=lambda: Columns(
        np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0), np.empty(0, np.int16)))  # fmt: skip
    moves: list[Move] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    slots: dict[SlotKey, dict[str, str]] = field(default_factory=dict)
    seen: set[SlotKey] = field(default_factory=set)
    """Slots whose gateway told events of its own."""
    skipped: int = 0
    """Lines of frames that cannot be read."""


def read_site(folder: Path) -> Site:
    """Read a directory. Raises UserError that names file and line."""
    if not folder.is_dir():
        msg = f"{folder} is no directory"
        raise UserError(msg, "it holds slots.csv, channels.csv and frames.jsonl")
    site = Site()
    for _, row in rows_of(folder / "slots.csv", SLOT_COLUMNS):
        site.slots[SlotKey(row["gateway"], row["slot"])] = row
    channels = {(row["gateway"], row["channel"]): row for _, row in rows_of(folder / "channels.csv", CHANNEL_COLUMNS)}
    _read_frames(folder / "frames.jsonl", site, channels)
    if (folder / "pos.csv").exists():
        for where, row in rows_of(folder / "pos.csv", POS_COLUMNS):
            key = SlotKey(row["gateway"], row["slot"])
            sku = row.get("sku") or site.slots.get(key, {}).get("sku", "")
            t_us = round(number(where, row, "at_ms")) * MS_US
            site.sales.append(Sale(t_us, sku, round(number(where, row, "units")), key if row["slot"] else None))
    if (folder / "promotions.csv").exists():
        for where, row in rows_of(folder / "promotions.csv", PROMOTION_COLUMNS):
            start_us, end_us = (round(number(where, row, name)) * MS_US for name in ("start_ms", "end_ms"))
            at = SlotKey(row["gateway"], row["slot"]) if row["slot"] else None
            site.promotions.append(Promotion(start_us, end_us, row.get("sku", ""), at))
    return site


def rows_of(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file with where they stand. Raises UserError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                msg = f"{path} has no column {missing[0]!r}"
                raise UserError(msg, f"needed are {', '.join(columns)}")
            for row in reader:
                yield (
                    f"{path} line {reader.line_num}",
                    {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)},
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"cannot read {path}: {error}"
        raise UserError(msg) from error


def number(where: str, row: dict[str, str], name: str) -> float:
    """A number of a row. Raises UserError."""
    try:
        return float(row[name])
    except ValueError as error:
        msg = f"{where}: {name} {row[name]!r} is no number"
        raise UserError(msg) from error


class _Names:
    """Numbers of series, given as they are first named."""

    def __init__(self, site: Site, channels: dict[tuple[str, str], dict[str, str]]) -> None:
        self._site = site
        self._channels = channels
        self._ids: dict[Key, int] = {}
        self._slots = {
            (key.gateway, row["channel"] or f"{key.slot}.weight_g"): (key.slot, row) for key, row in site.slots.items()
        }

    def id_of(self, address: GatewayAddress, channel: str) -> int:
        """Number of a series."""
        key = Key(address.tenant, address.gateway, channel)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._ids)
            self._site.profiles.append(self._profile(address, channel))
        return found

    def _profile(self, address: GatewayAddress, channel: str) -> Profile:
        row = self._channels.get((address.gateway, channel), {})
        slot, article = self._slots.get((address.gateway, channel), ("", {}))
        where = f"channels.csv {channel}"
        limit = row.get("limit_c", "")
        return Profile(
            address.tenant, address.site, address.gateway, channel, row.get("class", ""),
            number(where, row, "interval_s") if row.get("interval_s") else 0.0,
            number(where, row, "limit_c") if limit else None,
            number(where, row, "limit_s") if row.get("limit_s") else 0.0,
            slot, article.get("sku", ""),
            number("slots.csv", article, "unit_weight_g") if article.get("unit_weight_g") else 0.0,
            round(number("slots.csv", article, "capacity")) if article.get("capacity") else 0,
        )  # fmt: skip


@dataclass
class _Parts:
    times: list[int] = field(default_factory=list)
    series: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    quality: dict[int, int] = field(default_factory=dict)


def _read_frames(path: Path, site: Site, channels: dict[tuple[str, str], dict[str, str]]) -> None:
    decode = msgspec.json.Decoder(_Line).decode
    names, parts = _Names(site, channels), _Parts()
    settled: set[tuple[GatewayAddress, Lane, str, int]] = set()
    try:
        with path.open("rb") as file:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    each = decode(text)
                except (msgspec.MsgspecError, RecursionError, ValueError) as error:
                    msg = f"{path} line {line}: {error}"
                    raise UserError(msg) from error
                try:
                    _take(each, names, parts, site, settled)
                except (TopicError, FrameError):
                    site.skipped += 1
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise UserError(msg) from error
    quality = np.zeros(len(parts.times), np.int16)
    for place, code in parts.quality.items():
        quality[place] = code
    times = np.array(parts.times, np.int64) * MS_US
    order = np.argsort(times, kind="stable")
    site.columns = Columns(
        times[order], np.array(parts.series, np.int32)[order], np.array(parts.values)[order], quality[order]
    )
    site.moves.sort(key=lambda move: move.t_us)


def _take(
    line: _Line, names: _Names, parts: _Parts, site: Site, settled: set[tuple[GatewayAddress, Lane, str, int]]
) -> None:
    payload = bytes(line.payload)
    if line.topic.startswith("sp/v1/raw/"):
        address = parse_plain(line.topic, "raw")
        for reading in plain.decode(payload):
            at_ms = line.at if reading.ts is None else reading.ts
            for channel, value in reading.values.items():
                parts.times.append(at_ms)
                parts.series.append(names.id_of(address, channel))
                parts.values.append(value)
        return
    if not line.topic.startswith("sp/v1/up/"):
        return
    _, address, lane = parse_up(line.topic)
    quick = telemetry.read(payload) if lane in {Lane.TEL, Lane.BULK} else None
    if quick is not None:
        frame: TelemetryFrame | telemetry.Telemetry = quick
    else:
        strict = wire.decode(lane, payload)
        if isinstance(strict, EventFrame):
            if strict.gap is None and (address, lane, strict.ep, strict.seq) not in settled:
                settled.add((address, lane, strict.ep, strict.seq))
                _take_events(strict, address, site)
            return
        if not isinstance(strict, TelemetryFrame) or strict.gap is not None:
            return
        frame = strict
        parts.quality.update({len(parts.times) + int(place): code for place, code in (strict.q or {}).items()})
    key = (address, lane, frame.ep, frame.seq)
    if key in settled:
        return
    settled.add(key)
    ids = [names.id_of(address, channel) for channel in frame.ch]
    parts.times += [frame.t0 + each for each in frame.d]
    parts.series += [ids[each] for each in frame.i]
    parts.values += frame.x


def _take_events(frame: EventFrame, address: GatewayAddress, site: Site) -> None:
    for event in frame.ev:
        key = SlotKey(address.gateway, event.slot)
        site.seen.add(key)
        t_us = (frame.t0 + event.d) * MS_US
        site.moves.append(Move(t_us, key, event.units, event.kind, event.on_shelf))
        for sku, units in event.other.items():
            home = next((slot for slot, row in site.slots.items()
                         if slot.gateway == address.gateway and row["sku"] == sku), None)  # fmt: skip
            if home is not None:
                site.moves.append(Move(t_us, home, units, event.kind))
