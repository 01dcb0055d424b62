"""What the brand sells: 60 articles with packs, GTINs, lots and prices, as the files that a customer would import."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from deploy.demo import market
from deploy.demo.files import csv_of
from deploy.demo.market import Article
from platform_api.kit.nouns import Kind

TAX_BASIS_POINTS: Final = 1_300
BRAND_WAREHOUSE: Final = "wh-brand"
WAREHOUSES: Final = {"dealer-east": "wh-east", "dealer-north": "wh-north"}
"""Of the dealers."""
STANDARD: Final = "standard-2026"

MORE: Final = (
    Article("water-330", "晨露天然水 330 毫升", "Dew Spring Water 330 ml", 349, 2.0, 24, 150, 1.1),
    Article("water-5000", "晨露天然水 5 升", "Dew Spring Water 5 l", 5_092, 9.0, 4, 1_090, 0.4),
    Article("sparkling-lime-330", "晨露青柠气泡水 330 毫升", "Dew Sparkling Lime 330 ml", 351, 2.5, 24, 520, 0.9),
    Article("sparkling-peach-330", "晨露白桃气泡水 330 毫升", "Dew Sparkling Peach 330 ml", 351, 2.5, 24, 520, 1.0),
    Article("orange-soda-500", "晨露橙味汽水 500 毫升", "Dew Orange Soda 500 ml", 534, 3.0, 15, 450, 1.1),
    Article("ginger-330", "晨露姜汁汽水 330 毫升", "Dew Ginger Ale 330 ml", 353, 2.0, 24, 480, 0.5),
    Article("cola-2000", "晨露可乐 2 升", "Dew Cola 2 l", 2_064, 6.0, 6, 850, 0.8),
    Article("tea-black-500", "晨露红茶 500 毫升", "Dew Black Tea 500 ml", 523, 3.0, 15, 500, 1.2),
    Article("tea-lemon-500", "晨露柠檬茶 500 毫升", "Dew Lemon Tea 500 ml", 526, 3.0, 15, 500, 1.5),
    Article("tea-milk-450", "晨露奶茶 450 毫升", "Dew Milk Tea 450 ml", 489, 3.0, 15, 650, 1.4),
    Article("tea-puer-500", "晨露普洱茶 500 毫升", "Dew Pu'er Tea 500 ml", 522, 3.0, 15, 600, 0.6),
    Article("juice-grape-300", "晨露葡萄汁 300 毫升", "Dew Grape Juice 300 ml", 337, 3.0, 12, 900, 0.7),
    Article("juice-mango-300", "晨露芒果汁 300 毫升", "Dew Mango Juice 300 ml", 338, 3.0, 12, 950, 0.7),
    Article("juice-hawthorn-350", "晨露山楂汁 350 毫升", "Dew Hawthorn Drink 350 ml", 391, 3.0, 12, 650, 0.5),
    Article("juice-pear-300", "晨露雪梨汁 300 毫升", "Dew Pear Juice 300 ml", 336, 3.0, 12, 850, 0.5),
    Article("coffee-mocha-268", "晨露摩卡咖啡 268 毫升", "Dew Mocha 268 ml", 303, 2.5, 15, 690, 0.8),
    Article("coffee-oat-268", "晨露燕麦拿铁 268 毫升", "Dew Oat Latte 268 ml", 302, 2.5, 15, 790, 0.9),
    Article("coffee-drip-80", "晨露挂耳咖啡 8 包", "Dew Drip Coffee, 8 bags", 118, 1.5, 12, 3_900, 0.3),
    Article("milk-1000", "晨露纯牛奶 1 升", "Dew Milk 1 l", 1_061, 5.0, 12, 1_390, 0.8),
    Article("milk-low-250", "晨露低脂牛奶 250 毫升", "Dew Low-fat Milk 250 ml", 267, 2.0, 24, 430, 0.8),
    Article("yogurt-drink-230", "晨露酸奶饮品 230 毫升", "Dew Yogurt Drink 230 ml", 252, 2.0, 24, 620, 1.0),
    Article("yogurt-berry-200", "晨露莓果酸奶 200 克", "Dew Berry Yogurt 200 g", 223, 2.0, 24, 620, 0.9),
    Article("cheese-sticks-100", "晨露奶酪棒 100 克", "Dew Cheese Sticks 100 g", 121, 1.5, 20, 1_590, 0.5),
    Article("energy-zero-250", "晨露无糖能量饮料 250 毫升", "Dew Energy Zero 250 ml", 273, 2.0, 24, 600, 0.9),
    Article("isotonic-lychee-500", "晨露荔枝电解质水 500 毫升", "Dew Isotonic Lychee 500 ml", 530, 3.0, 15, 520, 0.8),
    Article("chrysanthemum-310", "晨露菊花茶 310 毫升", "Dew Chrysanthemum 310 ml", 332, 2.0, 24, 400, 0.7),
    Article("almond-240", "晨露杏仁露 240 毫升", "Dew Almond Drink 240 ml", 275, 2.0, 20, 500, 0.6),
    Article("walnut-240", "晨露核桃露 240 毫升", "Dew Walnut Drink 240 ml", 277, 2.0, 20, 520, 0.7),
    Article("noodles-veg-100", "晨露酸菜面 100 克", "Dew Pickled Cabbage Noodles 100 g", 122, 2.0, 12, 550, 1.0),
    Article("noodles-spicy-105", "晨露香辣面 105 克", "Dew Spicy Noodles 105 g", 127, 2.0, 12, 580, 1.0),
    Article("biscuits-oat-160", "晨露燕麦饼干 160 克", "Dew Oat Biscuits 160 g", 174, 2.0, 20, 890, 0.6),
    Article("wafers-120", "晨露威化 120 克", "Dew Wafers 120 g", 133, 1.5, 24, 750, 0.6),
    Article("nuts-mixed-150", "晨露混合坚果 150 克", "Dew Mixed Nuts 150 g", 165, 2.0, 20, 1_990, 0.4),
    Article("seaweed-20", "晨露海苔 20 克", "Dew Seaweed 20 g", 31, 0.8, 30, 690, 0.6),
    Article("crisps-75", "晨露薯片 75 克", "Dew Crisps 75 g", 92, 1.2, 22, 690, 1.2),
    Article("jelly-200", "晨露果冻 200 克", "Dew Jelly 200 g", 214, 2.0, 24, 450, 0.6),
)
ARTICLES: Final = (*market.ARTICLES, *MORE)
ON_SHELVES: Final = frozenset(article.sku for article in market.ARTICLES)
"""What the demo's shelves count: their books in the stores begin with the shelves."""
BY_SKU: Final = {article.sku: article for article in ARTICLES}
BY_LOT: Final = frozenset(name for name in BY_SKU if name.startswith(("milk", "yogurt", "cheese", "juice")))
SHELF_LIFE_DAYS: Final = 90


class Price(NamedTuple):
    """A price of a list, in minor units of a pack; ``share`` of the retail price, in per cent."""

    list: str
    sku: str
    uom: str
    min_qty: int
    amount_minor: int


def listed(store: int) -> list[Article]:
    """What a store (its place in market.STORES) sells: all that stands on shelves, and half of the rest."""
    return [*market.ARTICLES, *(one for number, one in enumerate(MORE) if (number + store) % 2)]


def cost_minor(article: Article) -> int:
    """What a unit costs the brand."""
    return article.price_minor * 45 // 100


def prices() -> Iterator[Price]:
    """All prices: everybody's, by the unit and by the case, less from ten cases on; and two lists for one dealer."""
    for article in ARTICLES:
        case = article.price_minor * article.pack_units
        yield Price(STANDARD, article.sku, "unit", 1, article.price_minor * 74 // 100)
        yield Price(STANDARD, article.sku, "case", 1, case * 70 // 100)
        yield Price(STANDARD, article.sku, "case", 10, case * 67 // 100)
        if article.sku.startswith(("cola", "water")):
            yield Price("east-volume", article.sku, "case", 1, case * 66 // 100)
        if article.sku.startswith("tea"):
            yield Price("north-tea", article.sku, "case", 1, case * 65 // 100)


def tables() -> dict[Kind, str]:
    """CSV text of each kind, in the order of import: what the demo's own files do not have."""
    tenant = {"tenant": market.TENANT}
    east, north = market.STORES[0], market.STORES[4]
    warehouses = (
        (BRAND_WAREHOUSE, "brand", "晨露中心仓 Morning Dew Central", "苏州", 31.2990, 120.5853),
        ("wh-east", "dealer-east", "华东联发仓 Lianfa Warehouse", east.city, 31.1500, 121.3000),
        ("wh-north", "dealer-north", "北方鼎盛仓 Dingsheng Warehouse", north.city, 39.8000, 116.5000),
    )
    names = ("site", "org", "name", "city", "lat", "lon")
    sites = [{**tenant, "kind": "warehouse", **dict(zip(names, one, strict=True))} for one in warehouses]
    skus = [
        {
            **tenant,
            "sku": one.sku,
            "name_zh": one.zh,
            "name_en": one.en,
            "gtin": market.gtin_of(place),
            "unit_weight_g": one.unit_weight_g,
            "unit_weight_sd_g": one.unit_weight_sd_g,
            "pack_units": one.pack_units,
            "price_minor": one.price_minor,
        }
        for place, one in enumerate(ARTICLES)
    ]
    packs = [
        {**tenant, "sku": one.sku, "uom": "case", "factor": one.pack_units, "gtin": case_gtin_of(place)}
        for place, one in enumerate(ARTICLES)
    ]
    lists = [
        {**tenant, "list": STANDARD, "name": "渠道标准价 Standard", "level": "default", "target": ""},
        {**tenant, "list": "east-volume", "name": "华东量价 East, volume", "level": "org", "target": "dealer-east"},
        {**tenant, "list": "north-tea", "name": "北方茶饮季 Tea in the north", "level": "special",
         "target": "dealer-north"},
    ]  # fmt: skip
    credit = [
        {**tenant, "org": "dealer-east", "currency": "CNY", "limit_minor": 18_000_000, "auto_approve": "true"},
        {**tenant, "org": "dealer-north", "currency": "CNY", "limit_minor": 12_000_000, "auto_approve": "false"},
    ]
    return {
        Kind.SITES: csv_of(Kind.SITES, sites),
        Kind.SKUS: csv_of(Kind.SKUS, skus),
        Kind.PACKS: csv_of(Kind.PACKS, packs),
        Kind.POLICIES: csv_of(Kind.POLICIES, list(_policies())),
        Kind.PRICE_LISTS: csv_of(Kind.PRICE_LISTS, lists),
        Kind.PRICES: csv_of(Kind.PRICES, [{**tenant, **one._asdict()} for one in prices()]),
        Kind.ENTITLEMENTS: csv_of(Kind.ENTITLEMENTS, [{**tenant, "org": "brand", "sku": "*", "allowed": "true"}]),
        Kind.CREDIT: csv_of(Kind.CREDIT, credit),
    }


def case_gtin_of(position: int) -> str:
    """GTIN-14 of a case of the article at ``position``: indicator 1, the unit's number, and its check digit."""
    return market.with_check_digit(f"1{market.gtin_of(position)[:-1]}")


def _policies() -> Iterator[dict[str, object]]:
    """Of what no shelf counts: a shelf's slots bring their own."""
    for number, store in enumerate(market.STORES):
        for one in listed(number):
            if one.sku not in ON_SHELVES:
                week = max(4, round(7 * one.popularity))
                yield {
                    "tenant": market.TENANT,
                    "site": store.site,
                    "sku": one.sku,
                    "reorder_point": week // 2,
                    "target": 2 * week,
                }
