"""Whose word on what left a shelf is booked, over HTTP."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict

from platform_api.kit.inputs import Input


class SourceRequest(Input):
    """Who has the word: tills (``pos``), shelves (``telemetry``), or neither (``orders``)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"source": "pos"}]})

    source: Literal["pos", "telemetry", "orders"]


class DepletionSource(SourceRequest):
    """Who has the word on a SKU at a site, and since when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"site": "sh-001", "sku": "tea-500", "source": "pos", "since": "2026-01-05T08:12:31Z"}]
        }
    )

    site: str
    sku: str
    since: datetime
