"""What a sandbox begins with: a brand, two dealers, a warehouse, two stores, three articles. Pure.

The examples of the OpenAPI document name these, so that each of them runs here.
"""

import csv
import io
from typing import Final

from platform_api.kit.nouns import Kind

PRICES: Final = "standard"
BY_LOT: Final = "milk-1l"
TAX_BASIS_POINTS: Final = 1_300

_TABLES: Final[dict[Kind, str]] = {
    Kind.ORGS: """
org,parent,kind,name
brand,,brand,Test brand
dealer-east,brand,dealer,East China Trading
dealer-north,brand,dealer,North China Trading
""",
    Kind.SITES: """
site,org,kind,name,city,lat,lon
wh-east,brand,warehouse,Warehouse East,Shanghai,31.15,121.30
sh-001,dealer-east,store,Nanjing Road,Shanghai,31.2304,121.4737
bj-001,dealer-north,store,Wangfujing,Beijing,39.9139,116.4105
""",
    Kind.DEVICES: """
site,gateway,device,profile,name
sh-001,gw-sh-001,,,Nanjing Road
sh-001,gw-sh-001,s01-b1,loadcell_bay,
sh-001,gw-sh-001,s01-b2,loadcell_bay,
""",
    Kind.SKUS: """
sku,name_zh,name_en,gtin,unit_weight_g,unit_weight_sd_g,pack_units,price_minor
tea-500,绿茶 500 毫升,Green tea 500 ml,2000000000015,520,3,15,450
cola-330,可乐 330 毫升,Cola 330 ml,2000000000022,350,2,24,300
milk-1l,牛奶 1 升,Milk 1 l,2000000000039,1040,4,12,1200
""",
    Kind.SLOTS: """
site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,target
sh-001,gw-sh-001,s01-b1,s01-b1.weight_g,tea-500,520,3,24,8,24
sh-001,gw-sh-001,s01-b2,s01-b2.weight_g,cola-330,350,2,24,8,24
""",
    Kind.PRICE_LISTS: """
list,name,level
standard,Standard,default
""",
    Kind.PRICES: """
list,sku,uom,min_qty,amount_minor
standard,tea-500,unit,1,420
standard,tea-500,case,1,6000
standard,cola-330,unit,1,280
standard,cola-330,case,1,6400
standard,milk-1l,unit,1,1100
standard,milk-1l,case,1,12600
""",
    Kind.ENTITLEMENTS: """
org,sku,allowed
brand,*,true
""",
    Kind.CREDIT: """
org,limit_minor,auto_approve
dealer-east,5000000,true
dealer-north,0,false
""",
    Kind.MOVES: """
reference,line,kind,location,sku,units,value_minor
opening,1,opening,wh-east,tea-500,1200,360000
opening,2,opening,wh-east,cola-330,960,192000
opening,3,opening,sh-001,tea-500,40,12000
""",
}
"""CSV of each kind, in the order of import; each row is the sandbox's own."""


def tables(tenant: str) -> dict[Kind, bytes]:
    """CSV of each kind for a tenant."""
    return {kind: _of(tenant, text.strip()) for kind, text in _TABLES.items()}


def _of(tenant: str, text: str) -> bytes:
    header, *rows = csv.reader(io.StringIO(text))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["tenant", *header])
    writer.writerows([tenant, *row] for row in rows)
    return out.getvalue().encode()
