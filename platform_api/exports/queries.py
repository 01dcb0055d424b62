"""What can be exported: for each noun who may, and its query, whose columns are those of the file.

Nouns that can be imported have the columns of ``platform_api/imports/rows.py``. Money is in the currency's smallest
unit. Every statement carries tenant_id and the caller's organisations (orgs) or sites; row security holds beneath it.
``since`` and ``until`` bound the nouns that have a time.
"""

from dataclasses import dataclass
from typing import Final

from platform_api.kit.auth import Role
from platform_api.kit.nouns import Noun

ALL: Final = frozenset(Role) - {Role.DEVICE}
STAFF: Final = frozenset({Role.HQ, Role.OPS, Role.AUDITOR})
AUDITORS: Final = frozenset({Role.HQ, Role.AUDITOR})
FINANCE: Final = frozenset({Role.HQ, Role.OPS, Role.AUDITOR, Role.DEALER})


@dataclass(frozen=True, slots=True)
class Source:
    """Where a noun's rows come from, and who may have them; ``is_of_whole``: nobody of a part of the tenant."""

    query: str
    roles: frozenset[Role] = ALL
    is_of_whole: bool = False


_ORGS: Final = "(%(orgs)s::text[] IS NULL OR {0}org_id = ANY(%(orgs)s))"
_SITES: Final = "(%(sites)s::text[] IS NULL OR {0}site_id = ANY(%(sites)s))"
_TIME: Final = (
    "(%(since)s::timestamptz IS NULL OR {0} >= %(since)s) AND (%(until)s::timestamptz IS NULL OR {0} < %(until)s)"
)


def _bounded(column: str) -> str:
    return _TIME.format(column)


_OF_ORG: Final = _ORGS.format("")
_OF_SITE: Final = _SITES.format("")

SOURCES: Final[dict[Noun, Source]] = {
    Noun.ORGS: Source(f"""
SELECT tenant_id AS tenant, org_id AS org, parent_id AS parent, kind, name FROM org
WHERE tenant_id = %(tenant_id)s AND {_OF_ORG}
ORDER BY array_position(ARRAY['brand', 'region', 'dealer', 'store'], kind), org_id"""),
    Noun.SITES: Source(f"""
SELECT tenant_id AS tenant, site_id AS site, org_id AS org, kind, name, city, lat, lon, timezone FROM site
WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} ORDER BY site_id"""),
    Noun.DEVICES: Source(f"""
SELECT g.tenant_id AS tenant, g.site_id AS site, g.gateway_id AS gateway, d.device, d.profile, d.name
FROM gateway g CROSS JOIN LATERAL (
    SELECT NULL AS device, '' AS profile, g.name
    UNION ALL
    SELECT device_id, profile, name FROM device WHERE tenant_id = g.tenant_id AND gateway_id = g.gateway_id
) d
WHERE g.tenant_id = %(tenant_id)s AND {_SITES.format("g.")} ORDER BY g.gateway_id, d.device NULLS FIRST"""),
    Noun.SKUS: Source("""
SELECT tenant_id AS tenant, sku, name_zh, name_en, gtin, unit_weight_g, unit_weight_sd_g, pack_units, price_minor,
       currency
FROM sku WHERE tenant_id = %(tenant_id)s ORDER BY sku"""),
    Noun.PACKS: Source("""
SELECT tenant_id AS tenant, sku, uom, factor, gtin FROM sku_pack WHERE tenant_id = %(tenant_id)s ORDER BY sku, uom"""),
    Noun.SLOTS: Source(f"""
SELECT t.tenant_id AS tenant, t.site_id AS site, t.gateway_id AS gateway, t.slot_id AS slot, t.channel, t.sku,
       t.unit_weight_g, t.unit_weight_sd_g, t.capacity, least(coalesce(p.reorder_point, 0), t.capacity - 1)
           AS reorder_point, greatest(least(coalesce(p.target, t.capacity), t.capacity),
                                      least(coalesce(p.reorder_point, 0), t.capacity - 1) + 1) AS target
FROM slot t LEFT JOIN stock_policy p USING (tenant_id, site_id, sku)
WHERE t.tenant_id = %(tenant_id)s AND {_SITES.format("t.")} ORDER BY t.gateway_id, t.slot_id"""),
    Noun.POLICIES: Source(f"""
SELECT tenant_id AS tenant, site_id AS site, sku, reorder_point, target, mode, cooldown_s FROM stock_policy
WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} ORDER BY site_id, sku"""),
    Noun.CHANNEL_SETTINGS: Source(f"""
SELECT c.tenant_id AS tenant, g.site_id AS site, c.gateway_id AS gateway, c.channel, c.class, c.interval_s, c.limit_c,
       c.limit_s
FROM channel_setting c JOIN gateway g USING (tenant_id, gateway_id)
WHERE c.tenant_id = %(tenant_id)s AND {_SITES.format("g.")} ORDER BY c.gateway_id, c.channel"""),
    Noun.PROMOTION_PLAN: Source(f"""
SELECT tenant_id AS tenant, site_id AS site, sku, first_day, last_day, depth FROM promotion_plan
WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} ORDER BY site_id, sku, first_day"""),
    Noun.PRICE_LISTS: Source(
        """
SELECT tenant_id AS tenant, list_id AS list, name, level, target, currency FROM price_list
WHERE tenant_id = %(tenant_id)s ORDER BY list_id""",
        STAFF,
    ),
    Noun.PRICES: Source(
        """
SELECT tenant_id AS tenant, list_id AS list, sku, uom, min_qty, amount_minor, valid_from, valid_to FROM price_item
WHERE tenant_id = %(tenant_id)s ORDER BY list_id, item_no""",
        STAFF,
    ),
    Noun.ENTITLEMENTS: Source(f"""
SELECT tenant_id AS tenant, org_id AS org, sku, allowed FROM entitlement
WHERE tenant_id = %(tenant_id)s AND {_OF_ORG} ORDER BY org_id, sku"""),
    Noun.CREDIT: Source(
        f"""
SELECT tenant_id AS tenant, org_id AS org, currency, limit_minor, auto_approve FROM credit_account
WHERE tenant_id = %(tenant_id)s AND {_OF_ORG} ORDER BY org_id, currency""",
        FINANCE,
    ),
    Noun.POS_SALES: Source(f"""
SELECT tenant, site, sku, units, sold_at, receipt, line FROM pos_sale
WHERE tenant = %(tenant_id)s AND (%(sites)s::text[] IS NULL OR site = ANY(%(sites)s)) AND {_bounded("sold_at")}
ORDER BY sold_at, site, receipt, line"""),
    Noun.USERS: Source(
        """
SELECT user_id AS id, login, name, role, org_id AS org, locale, disabled, created_at AS created FROM app_user
WHERE tenant_id = %(tenant_id)s ORDER BY login""",
        AUDITORS,
        is_of_whole=True,
    ),
    Noun.GATEWAYS: Source(f"""
SELECT gateway_id AS gateway, site_id AS site, name FROM gateway
WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} ORDER BY gateway_id"""),
    Noun.LOCATIONS: Source(f"""
SELECT location_id AS location, kind, site_id AS site, parent_id AS parent, name FROM location
WHERE tenant_id = %(tenant_id)s AND (site_id IS NULL OR {_OF_SITE}) ORDER BY location_id"""),
    Noun.STOCK: Source(f"""
SELECT b.location_id AS location, l.kind, b.sku, b.on_hand, b.reserved,
       expired_units(b.tenant_id, b.location_id, b.sku) AS expired, b.value_minor, b.updated_at AS updated
FROM stock_balance b JOIN location l USING (tenant_id, location_id)
WHERE b.tenant_id = %(tenant_id)s AND {_SITES.format("l.")} ORDER BY b.location_id, b.sku"""),
    Noun.LOTS: Source(f"""
SELECT s.location_id AS location, s.sku, t.code AS lot, t.expires_on AS expires, s.units
FROM stock_lot s JOIN lot t USING (tenant_id, lot_id) JOIN location l USING (tenant_id, location_id)
WHERE s.tenant_id = %(tenant_id)s AND s.units > 0 AND {_SITES.format("l.")}
ORDER BY s.location_id, s.sku, t.expires_on, t.code"""),
    Noun.MOVES: Source(f"""
SELECT m.move_id AS move, m.kind, m.happened_at AS happened, m.posted_at AS posted, m.reason, m.reference,
       e.location_id AS location, e.sku, t.code AS lot, e.units, e.value_minor
FROM stock_move m JOIN stock_entry e USING (tenant_id, move_id) JOIN location l USING (tenant_id, location_id)
LEFT JOIN lot t ON t.tenant_id = e.tenant_id AND t.lot_id = e.lot_id
WHERE m.tenant_id = %(tenant_id)s AND {_SITES.format("l.")} AND {_bounded("m.happened_at")}
ORDER BY m.happened_at, m.move_id, e.entry_no"""),
    Noun.COUNTS: Source(f"""
SELECT c.count_id AS count, c.location_id AS location, c.state, c.reason, n.sku, n.counted, n.reason AS line_reason,
       c.created_at AS created, c.counted_at AS counted_at, c.posted_at AS posted
FROM stock_count c JOIN location l USING (tenant_id, location_id)
LEFT JOIN stock_count_line n USING (tenant_id, count_id)
WHERE c.tenant_id = %(tenant_id)s AND {_SITES.format("l.")} AND {_bounded("c.created_at")}
ORDER BY c.count_id, n.sku"""),
    Noun.CASES: Source(f"""
SELECT c.case_id AS id, c.location_id AS location, c.sku, c.state, c.observed,
       CASE WHEN NOT is_counted(c.tenant_id, c.location_id, c.sku) THEN c.booked END AS booked, c.as_of, c.windows,
       c.opened_at AS opened
FROM recon_case c JOIN location l USING (tenant_id, location_id)
WHERE c.tenant_id = %(tenant_id)s AND {_SITES.format("l.")} AND {_bounded("c.opened_at")} ORDER BY c.case_id"""),
    Noun.POSITIONS: Source(f"""
SELECT t.site_id AS site, t.gateway_id AS gateway, t.slot_id AS slot, t.sku, p.on_shelf, p.as_of
FROM slot t JOIN shelf_position p USING (tenant_id, gateway_id, slot_id)
WHERE t.tenant_id = %(tenant_id)s AND {_SITES.format("t.")} ORDER BY t.gateway_id, t.slot_id"""),
    Noun.EVENTS: Source(f"""
SELECT gateway_id AS gateway, event_id AS event, time, site_id AS site, slot_id AS slot, sku, kind, units, on_shelf,
       confidence
FROM shelf_event WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} AND {_bounded("time")}
ORDER BY time, gateway_id, event_id"""),
    Noun.ANOMALIES: Source(f"""
SELECT anomaly_id AS id, kind, site_id AS site, gateway_id AS gateway, place_kind, place, start_at AS start,
       end_at AS "end", detected_at AS detected, severity, score, state, label, note
FROM anomaly WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} AND {_bounded("detected_at")}
ORDER BY detected_at, anomaly_id"""),
    Noun.PROPOSALS: Source(f"""
SELECT proposal_id AS id, site_id AS site, sku, units, state, triggered_at AS triggered, created_at AS created
FROM proposal WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} AND {_bounded("created_at")}
ORDER BY created_at, proposal_id"""),
    Noun.ORDERS: Source(f"""
SELECT order_id AS id, order_no AS number, org_id AS org, state, ship_from, ship_to, reference, proposal_id AS proposal,
       net_minor, adjustment_minor, total_minor, currency, created_at AS created, submitted_at AS submitted
FROM sales_order WHERE tenant_id = %(tenant_id)s AND {_OF_ORG} AND {_bounded("created_at")} ORDER BY order_no"""),
    Noun.ORDER_LINES: Source(f"""
SELECT o.order_id AS "order", o.order_no AS number, o.org_id AS org, o.reference, o.ship_to, o.ship_from,
       n.line_no AS line, n.sku, n.uom, n.packs, n.units, n.unit_price_minor, n.net_minor,
       n.tax_basis_points, o.currency, n.reserved_units, n.shipped_units,
       n.delivered_units, n.returned_units, n.invoiced_minor, n.refused_units, n.missing_units, n.credited_minor
FROM sales_order o JOIN order_line n USING (tenant_id, order_id)
WHERE o.tenant_id = %(tenant_id)s AND {_ORGS.format("o.")} AND {_bounded("o.created_at")}
ORDER BY o.order_no, n.line_no"""),
    Noun.RETURNS: Source(f"""
SELECT r.return_id AS id, r.order_id AS "order", r.org_id AS org, r.state, r.reason, r.decision, n.line_no AS line,
       n.sku, n.units, n.reason AS line_reason, n.restocked, n.written_off, n.held, n.credited_minor,
       r.created_at AS created
FROM order_return r LEFT JOIN order_return_line n USING (tenant_id, return_id)
WHERE r.tenant_id = %(tenant_id)s AND {_ORGS.format("r.")} AND {_bounded("r.created_at")}
ORDER BY r.return_id, n.line_no"""),
    Noun.CARRIERS: Source("""
SELECT carrier_id AS carrier, kind, name FROM carrier WHERE tenant_id = %(tenant_id)s ORDER BY carrier_id"""),
    Noun.SHIPMENTS: Source(f"""
SELECT s.shipment_id AS id, s.order_id AS "order", s.org_id AS org, s.ship_from, s.ship_to, s.carrier_id AS carrier,
       s.tracking_no, s.state, s.shelf_verdict, n.line_no AS line, n.sku, n.units, n.accepted, n.missing,
       s.dispatched_at AS dispatched, s.eta, s.delivered_at AS delivered
FROM shipment s LEFT JOIN shipment_line n USING (tenant_id, shipment_id)
WHERE s.tenant_id = %(tenant_id)s AND {_ORGS.format("s.")} AND {_bounded("s.dispatched_at")}
ORDER BY s.dispatched_at, s.shipment_id, n.line_no"""),
    Noun.TRANSFERS: Source(f"""
SELECT r.transfer_id AS id, r.origin AS "from", r.destination AS "to", r.state, r.reference, r.reason,
       r.proposal_id AS proposal, n.sku, n.units, n.held, n.sent, n.received, n.missing, n.given_up,
       r.created_at AS created, r.updated_at AS updated
FROM transfer_request r JOIN transfer_request_line n USING (tenant_id, transfer_id)
WHERE r.tenant_id = %(tenant_id)s AND {_bounded("r.created_at")}
  AND (%(sites)s::text[] IS NULL OR EXISTS (
      SELECT FROM location l WHERE l.tenant_id = r.tenant_id AND l.location_id IN (r.origin, r.destination)
        AND {_SITES.format("l.")}))
ORDER BY r.transfer_id, n.sku"""),
    Noun.CREDIT_ACCOUNTS: Source(
        f"""
SELECT org_id AS org, currency, limit_minor, receivable_minor, committed_minor, deposit_minor, auto_approve
FROM credit_account WHERE tenant_id = %(tenant_id)s AND {_OF_ORG} ORDER BY org_id, currency""",
        FINANCE,
    ),
    Noun.RECEIVABLES: Source(
        f"""
SELECT entry_id AS id, org_id AS org, kind, amount_minor, currency, order_id AS "order", reference, at FROM ar_entry
WHERE tenant_id = %(tenant_id)s AND {_OF_ORG} AND {_bounded("at")} ORDER BY at, entry_id""",
        FINANCE,
    ),
    Noun.FORECASTS: Source(f"""
SELECT site_id AS site, sku, version, day, method, mean, q50, q80, q95 FROM demand_forecast
WHERE tenant_id = %(tenant_id)s AND {_OF_SITE} AND {_bounded("day")} ORDER BY site_id, sku, version, day"""),
    Noun.AUDIT_LOG: Source(
        f"""
SELECT audit_id AS id, at, login, by_key, action, subject::text AS subject FROM audit_log
WHERE tenant_id = %(tenant_id)s AND {_bounded("at")} ORDER BY audit_id""",
        AUDITORS,
        is_of_whole=True,
    ),
}
