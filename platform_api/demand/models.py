"""What demand gives over HTTP. Quantities are units of the SKU a day of the site's clock."""

from datetime import date

from pydantic import BaseModel, ConfigDict


class Forecast(BaseModel):
    """Demand to expect on one day: its mean and quantiles. ``version`` is the day on which it was made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "sku": "tea-500",
                    "version": "2026-01-05",
                    "day": "2026-01-06",
                    "method": "seasonal",
                    "mean": 12.4,
                    "q50": 12.0,
                    "q80": 15.0,
                    "q95": 19.0,
                }
            ]
        }
    )

    site: str
    sku: str
    version: date
    day: date
    method: str
    mean: float
    q50: float
    q80: float
    q95: float


class Promotion(BaseModel):
    """A SKU that is promoted in a site, on the days of its clock; ``depth`` 0 was taken back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "sku": "tea-500",
                    "first_day": "2026-01-05",
                    "last_day": "2026-01-11",
                    "depth": 0.3,
                }
            ]
        }
    )

    site: str
    sku: str
    first_day: date
    last_day: date
    depth: float


class Accuracy(BaseModel):
    """How good a method was one day ahead, over the ``days`` that could be judged. Null where it is not defined.

    ``rmsse``: below 1 is better than expecting the day before. ``bias``: units a day that were expected too many.
    ``pinball``: mean quantile loss, units a day. ``chosen``: the series' forecasts are this method's.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "sku": "tea-500",
                    "version": "2026-01-05",
                    "method": "seasonal",
                    "chosen": True,
                    "days": 28,
                    "rmsse": 0.71,
                    "bias": -0.2,
                    "pinball": 1.1,
                }
            ]
        }
    )

    site: str
    sku: str
    version: date
    method: str
    chosen: bool
    days: int
    rmsse: float | None
    bias: float | None
    pinball: float | None
