"""What the commands show that ask the API: columns that its lists have, and items that are told apart."""

from pydantic import BaseModel

from deploy.local.ask import COLUMNS, TAILED
from platform_api.anomalies.models import Anomaly
from platform_api.demand.models import Accuracy, Forecast
from platform_api.inventory.models import ShelfEvent
from platform_api.orders.models import OrderSummary
from platform_api.replenishment.models import Proposal

MODELS: dict[str, type[BaseModel]] = {
    "anomalies": Anomaly,
    "events": ShelfEvent,
    "proposals": Proposal,
    "orders": OrderSummary,
    "forecasts": Forecast,
    "forecast-accuracy": Accuracy,
}


def test_every_column_is_one_of_the_lists_own() -> None:
    assert MODELS.keys() == COLUMNS.keys()
    for what, columns in COLUMNS.items():
        assert {*columns} - {"place"} <= MODELS[what].model_fields.keys(), what


def test_what_tail_follows_has_ids_to_tell_the_new_by() -> None:
    """A forecast has none: it ended the tail of everybody from the first night on."""
    assert [what for what in TAILED if "id" not in MODELS[what].model_fields] == []
