"""Reads from the database what the hub asks for: at most three statements an audience, however many viewers."""

from datetime import UTC, datetime

from platform_api.kit.db import Pool, enter_tenant
from platform_api.live import queries, service
from platform_api.live.delta import OVERLAP_US
from platform_api.live.hub import AudienceKey, Found, Read, Want


def reader(pool: Pool) -> Read:
    """The hub's ``read`` on a pool."""

    def read(key: AudienceKey, want: Want, readings_per_s: float) -> Found:
        with pool.connection() as tx:
            enter_tenant(tx, key.tenant_id)
            changes = None
            if want.events or want.anomalies or want.proposals:
                changes = tx.execute(
                    queries.CHANGES,
                    {
                        **key.scope,
                        "since": datetime.fromtimestamp((want.since_us - OVERLAP_US) / 1e6, tz=UTC),
                        "want_events": want.events,
                        "want_anomalies": want.anomalies,
                        "want_proposals": want.proposals,
                    },
                ).fetchone()
                assert changes is not None
            totals = None
            if want.totals:
                totals = service.read_totals(tx, key.scope, readings_per_s=readings_per_s).model_dump()
            latest = {}
            if want.series:
                rows = tx.execute(queries.LATEST, {"series": list(want.series)})
                latest = {row["series_id"]: (row["at"], row["value"]) for row in rows}
        return Found(changes, totals, latest)

    return read
