"""Rows of what detectors and forecasts are told: settings of channels, and what is going to be promoted. Pure."""

from typing import Annotated

from pydantic import Field, model_validator

from contracts.ids import CHANNEL_PATTERN
from platform_api.imports.rows import Day, Identifier, Row, Sku


class ChannelSettingRow(Row):
    """What is known of a channel: the ``class`` of devices that ought to behave like it, seconds between readings.

    Above ``limit_c`` for longer than ``limit_s`` seconds breaks the cold chain.
    """

    identity = ("tenant", "gateway", "channel")

    site: Identifier
    gateway: Identifier
    channel: Annotated[str, Field(pattern=CHANNEL_PATTERN)]
    class_: Annotated[str, Field(max_length=64, alias="class")] = ""
    interval_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 0.0
    limit_c: Annotated[float, Field(ge=-273.15, le=1_000, allow_inf_nan=False)] | None = None
    limit_s: Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)] = 0.0


class PromotionRow(Row):
    """A SKU that is promoted in a site from ``first_day`` to ``last_day``, days of its clock; ``depth`` says how much.

    Any scale will do that all plans share, such as the share off the price; 0 takes a promotion back.
    """

    identity = ("tenant", "site", "sku", "first_day")

    site: Identifier
    sku: Sku
    first_day: Day
    last_day: Day
    depth: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 1.0

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "PromotionRow":
        if self.first_day > self.last_day:
            message = "first_day <= last_day is needed"
            raise ValueError(message)
        return self
