"""Replenishment of the sites under one key: shelves summed by SKU, against their policies. Proposals out, no I/O."""

from collections.abc import Container
from datetime import datetime
from typing import Final, Protocol

from contracts.ids import derived_id
from stream import replenish
from stream.control_data import Beginning, SiteSku, Snapshot
from stream.facts import Facts, PositionRow, ProposalRow, Settled, no_columns
from stream.fence import bucket_of_site
from stream.replenish import Cycle, Policy, Trigger

PREFIX: Final = "site-"
Fired = dict[SiteSku, tuple[int, bool]]
"""Newest cycle of each (site, SKU), and whether it has proposed: what a site keeps in the recovery store."""


class Control(Protocol):
    """What a site asks of the control data."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""


def key_of(tenant: str, site: str) -> str:
    """Key under which everything of a site comes together: "site-00" … "site-63"."""
    return f"{PREFIX}{bucket_of_site(tenant, site):02}"


def bucket_of_key(key: str) -> int:
    """The bucket in a key of sites."""
    return int(key.removeprefix(PREFIX))


def keys_with_policies(snapshot: Snapshot, buckets: Container[int]) -> list[str]:
    """Keys within ``buckets`` that have something to decide, so that a clock must wake them."""
    sites = {(what.tenant, what.site) for what in snapshot.policies}
    return sorted({key_of(*site) for site in sites if bucket_of_site(*site) in buckets})


class Sites:
    """State of one key. ``fired`` is what ``snapshot`` returned before, or None.

    What is on the shelves comes from the database at the start; only which cycles have fired is kept.
    """

    def __init__(self, key: str, control: Control, beginning: Beginning, fired: Fired | None) -> None:
        self._key = key
        self._control = control
        self._version = -1
        self._on_shelf: dict[tuple[str, str, str], int] = {
            place: stored.on_shelf
            for place, stored in beginning.positions.items()
            if key_of(place[0], stored.site) == key
        }
        self._cycles = {SiteSku(*what): Cycle(cycle=cycle, fired=done) for what, (cycle, done) in (fired or {}).items()}
        self._event_now: dict[tuple[str, str], datetime] = {}

    def snapshot(self) -> Fired:
        """Cycles that have fired or been counted."""
        return {what: (cycle.cycle, cycle.fired) for what, cycle in self._cycles.items() if cycle.cycle}

    def take(self, rows: list[PositionRow], now: datetime) -> Facts | None:
        """Proposals after these positions, None when there are none."""
        control = self._control.snapshot
        touched: set[SiteSku] = set()
        for row in rows:
            touched |= self._observe(row, control)
        if control.version != self._version:
            self._version = control.version
            for row in control.elsewhere.get(bucket_of_key(self._key), {}).values():
                self._note(row)
            self._place_all(control)
            touched = {what for what in control.policies if key_of(what.tenant, what.site) == self._key}
        waiting = {what for what, cycle in self._cycles.items() if cycle.due_wall is not None}
        proposals = [self._decide(what, control, now) for what in sorted(touched | waiting)]
        frames = [
            Settled(None, tenant=proposal.tenant, site=proposal.site, proposals=(proposal,))
            for proposal in proposals
            if proposal is not None
        ]
        return Facts(no_columns(), frames) if frames else None

    def _observe(self, row: PositionRow, control: Snapshot) -> set[SiteSku]:
        self._note(row)
        slot = control.slots.get((row.tenant, row.gateway, row.slot))
        if slot is None:
            return set()
        what = SiteSku(row.tenant, slot.site, slot.sku)
        replenish.observe(self._cycle(what), (row.gateway, row.slot), row.on_shelf)
        return {what}

    def _note(self, row: PositionRow) -> None:
        self._on_shelf[row.tenant, row.gateway, row.slot] = row.on_shelf
        clock = (row.tenant, row.site)
        self._event_now[clock] = max(row.as_of, self._event_now.get(clock, row.as_of))

    def _place_all(self, control: Snapshot) -> None:
        """Put every shelf under the SKU that the registry has for it now."""
        for cycle in self._cycles.values():
            cycle.slots.clear()
        for (tenant, gateway, slot_id), on_shelf in self._on_shelf.items():
            slot = control.slots.get((tenant, gateway, slot_id))
            if slot is not None:
                replenish.observe(self._cycle(SiteSku(tenant, slot.site, slot.sku)), (gateway, slot_id), on_shelf)

    def _cycle(self, what: SiteSku) -> Cycle:
        return self._cycles.setdefault(what, Cycle())

    def _decide(self, what: SiteSku, control: Snapshot, now: datetime) -> ProposalRow | None:
        cycle = self._cycle(what)
        policy = control.policies.get(what)
        trigger = replenish.decide(
            cycle,
            policy,
            control.proposals.get(what),
            event_now=self._event_now.get((what.tenant, what.site)),
            wall_now=now,
        )
        if trigger is None:
            return None
        assert policy is not None
        return _proposal(what, policy, trigger, cycle)


def _proposal(what: SiteSku, policy: Policy, trigger: Trigger, cycle: Cycle) -> ProposalRow:
    evidence = {
        "on_hand": trigger.on_hand,
        "on_order": trigger.on_order,
        "reorder_point": policy.reorder_point,
        "target": policy.target,
        "slots": {f"{gateway}/{slot}": units for (gateway, slot), units in sorted(cycle.slots.items())},
    }
    return ProposalRow(
        derived_id(what.tenant, "proposal", what.site, what.sku, trigger.cycle),
        what.tenant, what.site, what.sku, trigger.cycle, trigger.units, evidence, trigger.at,
    )  # fmt: skip
