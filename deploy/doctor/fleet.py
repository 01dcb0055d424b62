"""Checks of gateways and their lanes, by what the database knows of them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from deploy.doctor.finding import Finding, fail, ok, warn
from stream.storage import Connection

LATELY: Final = timedelta(hours=1)
GAPS_SINCE: Final = timedelta(days=1)
SILENT_AFTER: Final = timedelta(minutes=10)
STUCK_AFTER: Final = timedelta(minutes=3)
"""A gateway goes back to its watermark after 15 s, then 30 s: three minutes without progress is no hiccup."""
CLOCK_OFF_S: Final = 30.0
"""Presence comes every minute at the latest; what it takes to arrive is not told from a wrong clock below this."""
LAG_WARN: Final = timedelta(minutes=2)
WAITING_WARN: Final = timedelta(hours=1)
"""A clock is set within minutes of the first contact with a time server."""
NAMED_MAX: Final = 5

QUARANTINED: Final = """
    SELECT reason, count(*) FROM quarantine WHERE received_at > now() - %(lately)s GROUP BY 1 ORDER BY 2 DESC
"""
GAPS: Final = """
    SELECT reason, sum(to_seq - from_seq + 1)::bigint, count(DISTINCT (tenant_id, gateway_id)) FROM ingest_gap
    WHERE noted_at > now() - %(since)s GROUP BY 1 ORDER BY 2 DESC
"""
# A gateway that was registered and never came counts from its registration.
SILENT: Final = """
    SELECT gateway.tenant_id || '/' || gateway.gateway_id, coalesce(presence.state, 'never seen'), heard.at
    FROM gateway
    LEFT JOIN gateway_presence presence USING (tenant_id, gateway_id)
    CROSS JOIN LATERAL (
        SELECT greatest(gateway.created_at, presence.updated_at, max(updated_at)) AS at FROM ingest_watermark w
        WHERE (w.tenant_id, w.gateway_id) = (gateway.tenant_id, gateway.gateway_id)
    ) AS heard
    WHERE revoked_at IS NULL AND heard.at < now() - %(silent)s
    ORDER BY heard.at
"""
# Online, its own account is ahead of ours, and nothing of that lane was committed for a while.
STUCK: Final = """
    SELECT p.tenant_id || '/' || p.gateway_id || ' ' || lane.key,
           (lane.value ->> 'seq')::bigint - coalesce(w.seq, 0)
    FROM gateway_presence p
    JOIN gateway g USING (tenant_id, gateway_id)
    CROSS JOIN LATERAL jsonb_each(p.sent) AS lane
    LEFT JOIN ingest_watermark w ON w.tenant_id = p.tenant_id AND w.gateway_id = p.gateway_id AND w.lane = lane.key
        AND w.ep = lane.value ->> 'ep'
    WHERE g.revoked_at IS NULL AND p.state = 'online' AND (lane.value ->> 'seq')::bigint > coalesce(w.seq, 0)
        AND p.updated_at > now() - %(silent)s
        AND coalesce(w.updated_at, p.since, p.updated_at) < now() - %(stuck)s
    ORDER BY 2 DESC
"""
CLOCKS: Final = """
    SELECT tenant_id || '/' || gateway_id, extract(epoch FROM utc - updated_at)::float8 FROM gateway_presence
    WHERE utc IS NOT NULL AND state = 'online' AND updated_at > now() - %(silent)s
        AND abs(extract(epoch FROM utc - updated_at)) > %(off_s)s
    ORDER BY abs(extract(epoch FROM utc - updated_at)) DESC
"""
# Of gateways that say they are online: how old the newest of what was committed is.
LAG: Final = """
    SELECT now() - max(w.updated_at) FROM ingest_watermark w JOIN gateway_presence p USING (tenant_id, gateway_id)
    WHERE p.state = 'online' AND p.updated_at > now() - %(silent)s
"""
FAULTS: Final = """
    SELECT coalesce(evidence ->> 'why', kind), count(*), min(tenant_id || '/' || gateway_id) FROM anomaly
    WHERE kind = 'device_fault' AND place_kind = 'gateway' AND state IN ('open', 'acknowledged')
        AND detected_at > now() - %(since)s
    GROUP BY 1 ORDER BY 2 DESC
"""
WAITING: Final = """
    SELECT count(*), count(DISTINCT (tenant_id, gateway_id)), now() - min(received_at) FROM unsynced_frame
"""
# Whichever process of the stream has read on furthest.
UNREAD_SALES: Final = """
    SELECT count(*), now() - min(received_at) FROM (
        SELECT received_at FROM pos_sale WHERE id > (SELECT max(last_id) FROM sales_offset) ORDER BY id LIMIT 100000
    ) AS unread
"""
UNCLAIMED: Final = """
    SELECT count(*), min(g.tenant_id || '/' || g.gateway_id) FROM gateway g
    WHERE g.revoked_at IS NULL
        AND EXISTS (SELECT FROM credential)
        AND NOT EXISTS (
            SELECT FROM credential c
            WHERE (c.tenant_id, c.gateway_id) = (g.tenant_id, g.gateway_id) AND c.revoked_at IS NULL
        )
"""


def check(connection: Connection) -> Iterator[Finding]:
    """All checks of the fleet."""
    yield _check_quarantine(connection)
    yield _check_gaps(connection)
    yield _check_silence(connection)
    yield _check_lag(connection)
    yield _check_stuck(connection)
    yield _check_clocks(connection)
    yield _check_faults(connection)
    yield _check_waiting(connection)
    yield _check_sales(connection)
    yield _check_credentials(connection)


def _check_quarantine(connection: Connection) -> Finding:
    found = _rows(connection, QUARANTINED, lately=LATELY)
    if found:
        what = ", ".join(f"{count} {reason}" for reason, count in found[:NAMED_MAX])
        return warn("quarantine", f"in the last hour: {what}", "`shelfpulse quarantine list` says which, and why")
    return ok("quarantine", "nothing new in the last hour")


def _check_gaps(connection: Connection) -> Finding:
    found = _rows(connection, GAPS, since=GAPS_SINCE)
    if not found:
        return ok("declared gaps", "none in the last day")
    what = ", ".join(f"{frames:,} frames {reason} at {gateways} gateways" for reason, frames, gateways in found)
    if any(reason == "released" for reason, *_ in found):
        remedy = "the database went back to an earlier time: what lies between is lost here; restore a newer backup"
        return fail("declared gaps", f"in the last day: {what}", remedy)
    remedy = "GET /v1/gaps names them; evicted: give those outboxes more room, refused: look into the quarantine"
    return warn("declared gaps", f"in the last day: {what}", remedy)


def _check_silence(connection: Connection) -> Finding:
    silent = _rows(connection, SILENT, silent=SILENT_AFTER)
    if silent:
        named = _named(f"{name} ({state}, {at:%Y-%m-%d %H:%M})" for name, state, at in silent)
        remedy = "look at power and network there; `shelfpulse edge check` on the gateway"
        return warn("gateways", f"silent for more than 10 min: {named}", remedy)
    return ok("gateways", "none is silent")


def _check_lag(connection: Connection) -> Finding:
    ((lag,),) = _rows(connection, LAG, silent=SILENT_AFTER)
    if lag is None:
        return ok("commits", "no gateway is online")
    if lag > LAG_WARN:
        remedy = "is the stream running, connected to the broker, and the database taking commits?"
        return warn("commits", f"the last one of an online gateway was {lag.total_seconds():,.0f} s ago", remedy)
    return ok("commits", f"the last one was {max(0.0, lag.total_seconds()):.1f} s ago")


def _check_stuck(connection: Connection) -> Finding:
    stuck = _rows(connection, STUCK, silent=SILENT_AFTER, stuck=STUCK_AFTER)
    if stuck:
        named = _named(f"{lane} ({behind:,} frames)" for lane, behind in stuck)
        remedy = "see the stream's log and the quarantine; the gateway sets a frame aside that never passes"
        return fail("lanes", f"no progress though frames wait: {named}", remedy)
    return ok("lanes", "none is stuck")


def _check_clocks(connection: Connection) -> Finding:
    off = _rows(connection, CLOCKS, silent=SILENT_AFTER, off_s=CLOCK_OFF_S)
    if off:
        named = _named(f"{name} {seconds:+,.0f} s" for name, seconds in off)
        return warn("gateway clocks", named, "let them reach a time server (chrony, systemd-timesyncd)")
    return ok("gateway clocks", f"none of those online is off by more than {CLOCK_OFF_S:.0f} s")


def _check_faults(connection: Connection) -> Finding:
    found = _rows(connection, FAULTS, since=GAPS_SINCE)
    if found:
        what = ", ".join(f"{count} {why}, at {example} for one" for why, count, example in found)
        remedy = "two agents with one name: find the clone, revoke it; a fast clock: set it; then resolve the anomaly"
        return fail("gateway faults", what, remedy)
    return ok("gateway faults", "none open")


def _check_waiting(connection: Connection) -> Finding:
    ((frames, gateways, since),) = _rows(connection, WAITING)
    if not frames:
        return ok("frames without a clock", "none wait")
    what = (
        f"{frames:,} of {gateways} gateways wait for their clock, the first for {since.total_seconds() / 3600:,.1f} h"
    )
    if since > WAITING_WARN:
        remedy = "let them reach a time server: after 7 days frames go to quarantine"
        return warn("frames without a clock", what, remedy)
    return ok("frames without a clock", what)


def _check_sales(connection: Connection) -> Finding:
    ((unread, since),) = _rows(connection, UNREAD_SALES)
    if unread and since > LAG_WARN:
        what = f"{unread:,} are not read, the first for {since.total_seconds() / 60:,.0f} min"
        return warn("sales of tills", what, "is the stream running? a transaction that does not end holds them back")
    return ok("sales of tills", "none wait")


def _check_credentials(connection: Connection) -> Finding:
    ((count, example),) = _rows(connection, UNCLAIMED)
    if count:
        what = f"{count} gateways have none of their own, {example} for one"
        return warn("credentials", what, "`shelfpulse gateways invite NAME`, then `edge claim` on the gateway")
    return ok("credentials", "every gateway has its own, or none was ever claimed")


def _named(texts: Iterator[str]) -> str:
    names = list(texts)
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


def _rows(connection: Connection, query: str, **parameters: object) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), parameters).fetchall()
