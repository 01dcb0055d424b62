"""Parameters of paths and queries that many routes share."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query

from contracts.ids import CHANNEL_PATTERN, IDENTIFIER_PATTERN
from platform_api.kit.times import Instant

Name = Annotated[str | None, Query(pattern=IDENTIFIER_PATTERN, max_length=32)]
ChannelName = Annotated[str | None, Query(pattern=CHANNEL_PATTERN, max_length=65)]
SkuName = Annotated[str | None, Query(min_length=1, max_length=64)]
SkuPath = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]*$")]
OrgName = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")]
OrgPath = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]*$")]
Since = Annotated[Instant | None, Query(alias="from", description="From this time on (RFC 3339)")]
Until = Annotated[Instant | None, Query(alias="to", description="Before this time (RFC 3339)")]


def bounds(since: datetime | None, until: datetime | None) -> dict[str, datetime | None]:
    """Parameters of a half-open range in time."""
    return {"since": since, "until": until}
