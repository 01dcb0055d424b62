"""The first schema: registry, telemetry, rollups, replenishment, and the worker's queue.

``storage_state`` keeps the tier found here: it does not change when the server later gains an extension.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import procrastinate
from alembic import op

from stream.storage import Tier, execute_script, prepare_tier

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"
_HYPERTABLE: Final = (
    "tsdb.hypertable, tsdb.partition_column='time', tsdb.chunk_interval='1 day', tsdb.create_default_indexes=false"
)
READING_SUFFIX: Final = {
    Tier.TSL: f"WITH ({_HYPERTABLE}, tsdb.segmentby='series_id', tsdb.orderby='time DESC')",
    Tier.APACHE: f"WITH ({_HYPERTABLE}, tsdb.columnstore=false)",
    Tier.PLAIN: "PARTITION BY RANGE (time)",
}
TIME_BUCKET: Final = {
    Tier.TSL: "time_bucket({width}, {at})",
    Tier.APACHE: "time_bucket({width}, {at})",
    Tier.PLAIN: "date_bin({width}, {at}, timestamptz '2000-01-03 00:00+00')",
}


@dataclass(frozen=True)
class Rollup:
    """A level of rollups, and how each of its columns is made from the level below."""

    name: str
    source: str
    width: str
    time: str
    count: str
    sum: str
    min: str
    max: str
    first: str
    last: str
    where: str


_FROM_ROLLUP: Final = ("bucket", "sum(n)::bigint", "sum", "min", "max", "first", "last", "true")
ROLLUPS: Final = (
    Rollup(
        "reading_1m", "reading", "1 minute", "time", "count(*)", "value", "value", "value", "value", "value",
        where="quality <> 2",
    ),
    Rollup("reading_1h", "reading_1m", "1 hour", *_FROM_ROLLUP),
    Rollup("reading_1d", "reading_1h", "1 day", *_FROM_ROLLUP),
)  # fmt: skip


def upgrade() -> None:
    """Create everything in a database that has nothing of it."""
    # The driver itself, because the files hold many statements each, and % signs that are no placeholders.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    tier = prepare_tier(connection)
    script = [
        _read("0001_core.sql"),
        _read("0001_telemetry.sql").format(
            tier=tier,
            reading_suffix=READING_SUFFIX[tier],
            time_bucket=TIME_BUCKET[tier].format(width="width", at="at"),
        ),
        *(_rollup(tier, rollup) for rollup in ROLLUPS),
        procrastinate.schema.SchemaManager.get_schema(),
    ]
    execute_script(connection, script)


def _rollup(tier: Tier, rollup: Rollup) -> str:
    columns = asdict(rollup)
    columns["bucket"] = TIME_BUCKET[tier].format(width=f"interval '{rollup.width}'", at=rollup.time)
    if tier is Tier.TSL:
        template = _read("0001_rollup_aggregate.sql")
    else:
        template = _read("0001_rollup_table.sql")
        columns["where"] += f" AND {rollup.time} >= $1 AND {rollup.time} < $2"
    return template.format(name=rollup.name, select=_read("0001_rollup.sql").format_map(columns))


def _read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")
