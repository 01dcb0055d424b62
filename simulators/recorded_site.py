"""A site's weeks on disk, with the truth beside them: what ``shelfpulse detect --site`` reads, for judging detectors.

The store, its shoppers and its staff are those of ``simulators.store``; its gateways are read every ``interval_s`` as
plain gateways do, and one of two tells shelf events of its own. Tills tell some minutes later.
"""

import csv
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from contracts.topics import GatewayAddress, Lane, up
from simulators.controller import ShelfController
from simulators.plan import RETAIL_DAY, BayPlan, GatewayPlan, Habits, Plan, ShelfPlan, Sku, Staff, StorePlan
from simulators.site_faults import DAY_S, LIMIT_C, LIMIT_S, Faults, Layout, Mute, Noisy, Truth, draw
from simulators.store import Store
from simulators.truth import EventKind, TruthEvent

START_S: Final = 1_767_600_000.0
"""Monday 2026-01-05 08:00 UTC."""
GATEWAYS: Final = 2
SHELVES: Final = 3
BAYS: Final = 4
DEVICES: Final = GATEWAYS * SHELVES * (BAYS + 1)
"""Controllers and the cells of their bays."""
SUPPLY_V: Final = 24.0
"""A series that never changes."""
FRAME_READINGS: Final = 60
LOST: Final = 0.002
"""Share of readings that never come."""
TENANT: Final = "eval"
TOLD: Final = {EventKind.SALE: "sale", EventKind.PUT_BACK: "put_back", EventKind.RESTOCK: "restock",
               EventKind.THEFT: "sale"}  # fmt: skip
SLOT_COLUMNS: Final = ("tenant,site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,"
                       "target")  # fmt: skip
CHANNEL_COLUMNS: Final = "tenant,site,gateway,channel,class,interval_s,limit_c,limit_s"
PAYS_S: Final = (60.0, 900.0)
CARRIES_MS: Final = 60_000
"""A put-back or a stray follows its sale within this time."""


def record(seed: int, folder: Path, *, days: int = 21, interval_s: float = 120.0, quiet: bool = False) -> list[Truth]:
    """Write slots.csv, channels.csv, frames.jsonl, pos.csv and truth.json; ``quiet``: without any fault."""
    rng = Random(f"site/{seed}")
    skus, gateways = _skus(rng), _gateways(rng)
    layout = _layout(skus, gateways)
    start_ms = round(START_S * 1000)
    faults = Faults() if quiet else draw(rng, layout, start_ms, 9.0, float(days))
    plan = Plan(
        TENANT, skus,
        (StorePlan("store1", gateways, shoppers_per_hour=rng.uniform(12, 25), hourly=RETAIL_DAY, utc_offset_h=8.0,
                   habits=Habits(mixed=0.003), staff=Staff(after_s=1_500.0)),),
        seed=seed, story=tuple(faults.story),
    )  # fmt: skip
    store = Store(plan, plan.stores[0], START_S)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(folder, plan, interval_s)
    events = _write_frames(folder / "frames.jsonl", store, faults, rng, (days, interval_s))
    _write_pos(folder / "pos.csv", events, rng)
    (folder / "truth.json").write_bytes(msgspec.json.encode(faults.truths))
    return faults.truths


def _skus(rng: Random) -> tuple[Sku, ...]:
    return tuple(
        Sku(f"sku-{n:02}", round(rng.uniform(150, 900), 1), round(rng.uniform(0.5, 3.0), 2), 3.0 / (1 + n * 0.15))
        for n in range(GATEWAYS * SHELVES * BAYS)
    )


def _gateways(rng: Random) -> tuple[GatewayPlan, ...]:
    def bay(gateway: int, shelf: int, number: int) -> BayPlan:
        sku = (gateway * SHELVES + shelf) * BAYS + number
        return BayPlan(number + 1, f"sku-{sku:02}", 20, 24)

    return tuple(
        GatewayPlan(
            f"gw{g + 1}", 0,
            tuple(ShelfPlan(f"s{g * SHELVES + s + 1:02}", s + 1, tuple(bay(g, s, b) for b in range(BAYS)),
                            noise_sd_g=round(rng.uniform(4, 12), 1), temperature_celsius=4.0)
                  for s in range(SHELVES)),
        )
        for g in range(GATEWAYS)
    )  # fmt: skip


def _layout(skus: tuple[Sku, ...], gateways: tuple[GatewayPlan, ...]) -> Layout:
    popularity = {sku.sku: sku.popularity for sku in skus}
    slots = [
        (f"{gateway.gateway}/{shelf.device}-b{bay.bay}", bay.sku)
        for gateway in gateways for shelf in gateway.shelves for bay in shelf.bays
    ]  # fmt: skip
    slots.sort(key=lambda slot: -popularity[slot[1]])
    channels = {
        f"{gateway.gateway}/{shelf.device}": (
            f"{gateway.gateway}/{shelf.device}.temp_c",
            f"{gateway.gateway}/{shelf.device}.supply_v",
            *(f"{gateway.gateway}/{shelf.device}-b{bay.bay}.weight_g" for bay in shelf.bays),
        )
        for gateway in gateways for shelf in gateway.shelves
    }  # fmt: skip
    return Layout(tuple(slots), tuple(channels), channels)


def _write_tables(folder: Path, plan: Plan, interval_s: float) -> None:
    weights = {sku.sku: sku for sku in plan.skus}
    with (folder / "slots.csv").open("w", newline="") as slots, (folder / "channels.csv").open("w", newline="") as told:
        slot_rows, channel_rows = csv.writer(slots), csv.writer(told)
        slot_rows.writerow(SLOT_COLUMNS.split(","))
        channel_rows.writerow(CHANNEL_COLUMNS.split(","))
        for gateway in plan.stores[0].gateways:
            for shelf in gateway.shelves:
                base = (plan.tenant, "store1", gateway.gateway)
                channel_rows.writerow([*base, f"{shelf.device}.temp_c", "cooler", interval_s, LIMIT_C, LIMIT_S])
                channel_rows.writerow([*base, f"{shelf.device}.supply_v", "supply", interval_s, "", ""])
                for bay in shelf.bays:
                    slot = f"{shelf.device}-b{bay.bay}"
                    sku = weights[bay.sku]
                    slot_rows.writerow([*base, slot, f"{slot}.weight_g", sku.sku, sku.unit_weight_g,
                                        sku.unit_weight_sd_g, bay.capacity, 6, 20])  # fmt: skip
                    channel_rows.writerow([*base, f"{slot}.weight_g", "scale", interval_s, "", ""])


class _Lane:
    """Frames of one lane of a gateway."""

    def __init__(self, gateway: str, lane: Lane) -> None:
        self.topic = up(GatewayAddress(TENANT, "store1", gateway), lane)
        self.seq = 0
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.readings: list[tuple[int, int, float]] = []

    def add(self, channel: str, t_ms: int, value: float) -> None:
        """Keep a reading for the next frame."""
        place = self.index.get(channel)
        if place is None:
            place = self.index[channel] = len(self.names)
            self.names.append(channel)
        self.readings.append((t_ms, place, value))

    def frame(self, body: dict[str, object], t0_ms: int, at_ms: int) -> bytes:
        """A line of frames.jsonl."""
        self.seq += 1
        payload = {"v": 1, "ep": "evalep", "seq": self.seq, "t0": t0_ms, "boot": "b1", "mono": t0_ms} | body
        return msgspec.json.encode({"at": at_ms, "topic": self.topic, "payload": payload}) + b"\n"

    def flush(self) -> bytes:
        """The kept readings as one frame."""
        t0_ms = min(each[0] for each in self.readings)
        body = {"ch": self.names, "i": [each[1] for each in self.readings],
                "d": [each[0] - t0_ms for each in self.readings], "x": [each[2] for each in self.readings]}  # fmt: skip
        at_ms = max(each[0] for each in self.readings)
        self.readings = []
        return self.frame(body, t0_ms, at_ms)


class _Recorder:
    """Reads one controller: its channels by name, in the order in which they are read."""

    def __init__(self, controller: ShelfController, lane: _Lane) -> None:
        device = controller.plan.device
        self._thermometer = controller.thermometer
        self._bays = [place.bay for place in controller.places.values()]
        self._lane = lane
        self._channels = [f"{device}.supply_v", f"{device}.temp_c"]
        self._channels += [f"{place.where.slot}.weight_g" for place in controller.places.values()]
        self._names = [f"{controller.gateway}/{channel}" for channel in self._channels]

    def read(self, at_s: float, mutes: list[Mute], noises: list[Noisy], rng: Random) -> None:
        """Give the lane what is heard of the readings at a time."""
        values = [SUPPLY_V, round(self._thermometer.reading_c(at_s), 2)]
        values += [round(bay.reading_g(at_s), 1) for bay in self._bays]
        at_ms = round(at_s * 1000)
        for number, value in enumerate(values):
            # A bus loses some.
            is_lost = rng.random() < LOST
            if is_lost or (mutes and _is_mute(self._names[number], mutes, rng)):
                continue
            noisy = value + _noise(self._names[number], noises, rng) if noises else value
            self._lane.add(self._channels[number], at_ms + number, round(noisy, 2))


def _write_frames(
    path: Path, store: Store, faults: Faults, rng: Random, times: tuple[int, float]
) -> list[TruthEvent]:  # fmt: skip
    days, interval_s = times
    lanes = {gateway.gateway: _Lane(gateway.gateway, Lane.TEL) for gateway in store.plan.gateways}
    events_of = _Lane(store.plan.gateways[-1].gateway, Lane.EVT)
    recorders = [(_Recorder(each, lanes[each.gateway]), lanes[each.gateway]) for each in store.controllers]
    told: list[TruthEvent] = []
    with path.open("wb") as out:
        for step in range(int(days * DAY_S / interval_s)):
            since_s = step * interval_s
            at_s = START_S + since_s
            store.step(at_s)
            new = [each for each in store.drain() if isinstance(each, TruthEvent)]
            told += new
            mutes = [each for each in faults.mutes if each.start_s <= since_s < each.end_s]
            noises = [each for each in faults.noises if each.start_s <= since_s < each.end_s]
            for recorder, lane in recorders:
                recorder.read(at_s, mutes, noises, rng)
                if len(lane.readings) >= FRAME_READINGS:
                    out.write(lane.flush())
            _write_events(out, events_of, new)
        for lane in lanes.values():
            if lane.readings:
                out.write(lane.flush())
    return told


def _write_events(out: object, lane: _Lane, events: list[TruthEvent]) -> None:
    gateway = lane.topic.split("/")[-2]
    for each in events:
        kind = "adjust" if each.kind is EventKind.COUNT else TOLD.get(each.kind)
        if each.gateway != gateway or kind is None:
            continue
        event = {"id": f"e{lane.seq}", "d": 0, "slot": each.slot, "kind": kind, "units": each.units,
                 "on_shelf": each.on_shelf}  # fmt: skip
        out.write(lane.frame({"ev": [event]}, each.t_ms, each.t_ms))  # type: ignore[attr-defined]


def _is_mute(channel: str, mutes: list[Mute], rng: Random) -> bool:
    return any(channel in each.channels and rng.random() < each.share for each in mutes)


def _noise(channel: str, noises: list[Noisy], rng: Random) -> float:
    sd = sum(each.sd for each in noises if channel in each.channels)
    if not sd or channel.endswith(".supply_v"):
        return 0.0
    return rng.gauss(0.0, sd if channel.endswith(".weight_g") else sd / 50.0)


def _write_pos(path: Path, events: list[TruthEvent], rng: Random) -> None:
    """Sales as tills saw them: without what was put back or laid elsewhere, and without thefts."""
    back: dict[tuple[str, str], list[TruthEvent]] = defaultdict(list)
    for each in events:
        if each.kind is EventKind.PUT_BACK:
            back[each.gateway, each.slot].append(each)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["at_ms", "tenant", "site", "gateway", "slot", "sku", "units"])
        rows = []
        for each in events:
            if each.kind is not EventKind.SALE:
                continue
            units = -each.units
            returned = next((late for late in back[each.gateway, each.slot]
                             if 0 <= late.t_ms - each.t_ms <= CARRIES_MS), None)  # fmt: skip
            if returned is not None:
                back[each.gateway, each.slot].remove(returned)
                units -= returned.units
            if units > 0:
                at_ms = each.t_ms + round(rng.uniform(*PAYS_S) * 1000)
                rows.append((at_ms, TENANT, each.site, each.gateway, each.slot, each.sku, units))
        writer.writerows(sorted(rows))
