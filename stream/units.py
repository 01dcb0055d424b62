"""The ledgers of the sites under one key, in the dataflow: shelf events, sales and outages in, anomalies out.

The clock of a site is that of its events and sales, so that a replay of last month is judged as last month.
"""

import pickle
import zlib
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from contracts.facts import AnomalyKind
from contracts.frames import EventKind
from stream.control_data import Snapshot
from stream.facts import AnomalyRow, EventRow, Facts, Settled, no_columns
from stream.watch.finding import Finding, Place
from stream.watch.ledger import BLINDING, Ledger, Move, Promotion, Sale, SlotKey
from stream.watching import row_of, settled

SAVE_EVERY: Final = timedelta(minutes=5)
US_PER_S: Final = 1_000_000


class SaleRow(NamedTuple):
    """A row of pos_sale."""

    row: int
    tenant: str
    site: str
    sku: str
    units: int
    sold_at: datetime


class Control(Protocol):
    """What ledgers ask of the control data."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""


def key_of_state(key: str) -> str:
    """Key under which the ledgers of a key of sites are saved."""
    return f"units-{key}"


class Units:
    """State of one key of sites; ``saved`` is what was saved before, or None."""

    def __init__(self, key: str, control: Control, saved: bytes | None) -> None:
        self._key = key
        self._control = control
        self._ledgers: dict[tuple[str, str], Ledger] = _restored(saved)
        self._version = -1
        self._save_due: datetime | None = None

    def take(self, rows: list[EventRow | SaleRow | AnomalyRow], now: datetime) -> Facts | None:
        """Anomalies after what happened, None when there are none and nothing is to be saved."""
        self._refresh()
        moves: dict[tuple[str, str], list[Move]] = defaultdict(list)
        sales: dict[tuple[str, str], list[Sale]] = defaultdict(list)
        frames: list[Settled] = []
        for row in rows:
            site = (row.tenant, row.site)
            if isinstance(row, AnomalyRow):
                self._ledger(site).pause(_finding(row))
            elif isinstance(row, SaleRow):
                sales[site].append(Sale(_us(row.sold_at), row.sku, row.units))
            else:
                moves[site] += self._moves(row)
        for site in {*moves, *sales}:
            now_us = max([move.t_us for move in moves[site]] + [sale.t_us for sale in sales[site]])
            found = self._ledger(site).step(moves[site], sales[site], now_us, self._control.snapshot.strictness_at)
            frames += [settled(row_of(each)) for each in found]
        self._save_due = self._save_due or now + SAVE_EVERY
        if now >= self._save_due:
            self._save_due = now + SAVE_EVERY
            state = {site: ledger.snapshot() for site, ledger in self._ledgers.items()}
            learnt = (key_of_state(self._key), zlib.compress(pickle.dumps(state, protocol=5), 1))
            frames.append(Settled(None, learnt=(learnt,)))
        return Facts(no_columns(), frames) if frames else None

    def _ledger(self, site: tuple[str, str]) -> Ledger:
        ledger = self._ledgers.get(site)
        if ledger is None:
            ledger = self._ledgers[site] = Ledger()
            self._tell(ledger, site)
        return ledger

    def _refresh(self) -> None:
        if self._control.snapshot.version != self._version:
            self._version = self._control.snapshot.version
            for site, ledger in self._ledgers.items():
                self._tell(ledger, site)

    def _tell(self, ledger: Ledger, site: tuple[str, str]) -> None:
        for (tenant, gateway, name), slot in self._control.snapshot.slots.items():
            if (tenant, slot.site) == site:
                place = Place(tenant, slot.site, gateway, "slot", f"{gateway}/{name}")
                ledger.know(SlotKey(gateway, name), place, slot.sku, slot.channel)
        ledger.zone = self._control.snapshot.zones.get(site, UTC)
        planned = self._control.snapshot.promotions.get(site, [])
        ledger.plan(Promotion(_us(each.start), _us(each.end), each.sku) for each in planned)

    def _moves(self, row: EventRow) -> list[Move]:
        """The event at its own slot, and at the home of each foreign article that it names."""
        kind = EventKind(row.kind)
        own = Move(_us(row.time), SlotKey(row.gateway, row.slot), row.units, kind, row.on_shelf)
        homes = {
            slot.sku: SlotKey(gateway, name)
            for (tenant, gateway, name), slot in self._control.snapshot.slots.items()
            if row.other and (tenant, gateway) == (row.tenant, row.gateway) and slot.sku in row.other
        }
        return [own, *(Move(own.t_us, home, row.other[sku], kind) for sku, home in homes.items())]


def is_outage(row: AnomalyRow) -> bool:
    """Whether units cannot be judged while this anomaly lasts.

    What is told of a gateway itself, two agents or a fast clock, says nothing of its scales, and never ends.
    """
    is_alarm = row.kind is AnomalyKind.DEVICE_FAULT and row.place_kind == "gateway"
    return row.kind in BLINDING and not is_alarm and row.site != ""


def _finding(row: AnomalyRow) -> Finding:
    place = Place(row.tenant, row.site, row.gateway, row.place_kind, row.place)
    end_us = None if row.end is None else _us(row.end)
    return Finding(
        row.kind, place, _us(row.start), _us(row.detected), row.severity, row.score, row.evidence, end_us
    )  # fmt: skip


def _restored(saved: bytes | None) -> dict[tuple[str, str], Ledger]:
    if saved is not None:
        with suppress(zlib.error, pickle.UnpicklingError, AttributeError, ImportError, TypeError, AssertionError):
            states = pickle.loads(zlib.decompress(saved))  # noqa: S301 - our own database, which only we write
            return {site: Ledger.restore(state) for site, state in states.items()}
    return {}


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * US_PER_S)
