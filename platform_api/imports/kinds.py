"""The row of each kind of file, and the columns of its header."""

from typing import Final

from platform_api.imports.document_rows import MoveRow, OrderRow, ShipmentRow
from platform_api.imports.plan_rows import ChannelSettingRow, PromotionRow
from platform_api.imports.rows import (
    CreditRow,
    DeviceRow,
    EntitlementRow,
    OrgRow,
    PackRow,
    PolicyRow,
    PosSaleRow,
    PriceListRow,
    PriceRow,
    Row,
    SiteRow,
    SkuRow,
    SlotRow,
)
from platform_api.kit.nouns import Kind

MODELS: Final[dict[Kind, type[Row]]] = {
    Kind.ORGS: OrgRow,
    Kind.SITES: SiteRow,
    Kind.DEVICES: DeviceRow,
    Kind.SKUS: SkuRow,
    Kind.PACKS: PackRow,
    Kind.SLOTS: SlotRow,
    Kind.POLICIES: PolicyRow,
    Kind.PRICE_LISTS: PriceListRow,
    Kind.PRICES: PriceRow,
    Kind.ENTITLEMENTS: EntitlementRow,
    Kind.CREDIT: CreditRow,
    Kind.POS_SALES: PosSaleRow,
    Kind.CHANNEL_SETTINGS: ChannelSettingRow,
    Kind.PROMOTION_PLAN: PromotionRow,
    Kind.MOVES: MoveRow,
    Kind.ORDERS: OrderRow,
    Kind.SHIPMENTS: ShipmentRow,
}


def columns(kind: Kind) -> tuple[str, ...]:
    """Column names of a kind, as its header should have them."""
    return tuple(field.alias or name for name, field in MODELS[kind].model_fields.items())


def required_columns(kind: Kind) -> tuple[str, ...]:
    """Columns without which no row of the kind is complete."""
    return tuple(name for name, field in MODELS[kind].model_fields.items() if field.is_required())
