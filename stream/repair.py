"""Repair of frames that were taken while the gateway's clock was not disciplined (``sync:0``). Pure."""

import numpy as np

from contracts.frames import Reason
from stream import clean
from stream.clocks import Anchors
from stream.facts import Arrival, Columns, Fault


def repair_clock(arrival: Arrival, columns: Columns, anchors: Anchors, limits: clean.Limits) -> None:
    """Set right the times of a frame whose clock was not disciplined, or find that nobody knows them yet.

    Readings then wait for an anchor of their boot. An event is never held back: its time is that of receipt until
    then. An answer needs no time.
    """
    if arrival.sync or arrival.gap is not None or arrival.fault is not None or arrival.answers:
        return
    address = arrival.address
    utc_ms = anchors.utc_ms((address.tenant, address.gateway), arrival.boot, arrival.mono_ms)
    if utc_ms is None:
        arrival.timed = False
        if not arrival.boot and not arrival.events:
            arrival.fault = unsynced(arrival)
        arrival.t0_ms = arrival.message.received_ms
        return
    shift_ms = utc_ms - arrival.t0_ms
    arrival.t0_ms = last_ms = utc_ms
    if arrival.events:
        last_ms += max(event.d for event in arrival.events)
    if arrival.hi > arrival.lo:
        columns.time_us[arrival.lo : arrival.hi] += shift_ms * 1000
        last_ms = int(np.max(columns.time_us[arrival.lo : arrival.hi])) // 1000
    arrival.fault = clean.check_times(arrival.t0_ms, last_ms, limits)


def unsynced(arrival: Arrival) -> Fault:
    """That nobody knows a frame's time."""
    return Fault(Reason.UNSYNCED, f"no presence of boot {arrival.boot!r} tells its time")
