"""Who and what there is in the demo: companies, stores, shelves and articles. All of it invented."""

from collections.abc import Iterator
from typing import Final, NamedTuple

TENANT: Final = "demo"
TENANT_NAME: Final = "晨露饮品 Morning Dew"
BAYS: Final = 4
SHELVES_PER_STORE: Final = (7, 7, 7, 7, 6, 6)
"""40 controllers."""
CAPACITY_MAX: Final = 24
BAY_G: Final = 14_000.0
"""What a bay carries; its capacity follows from the article's weight."""
RUSH_SKU: Final = "cola-330"
RUSH_SITE: Final = "sh-jingan"
"""Where the story's promotion is: those bays begin just above their reorder point."""


class Org(NamedTuple):
    """A company, and the one above it."""

    org: str
    parent: str
    kind: str
    name: str


class Store(NamedTuple):
    """A store with one gateway; coordinates in degrees (WGS 84)."""

    site: str
    org: str
    name: str
    city: str
    lat: float
    lon: float

    @property
    def gateway(self) -> str:
        """Name of its gateway."""
        return f"gw-{self.site}"


class Article(NamedTuple):
    """A SKU. ``gtin`` is of the range for a company's own use (GS1 prefix 20)."""

    sku: str
    zh: str
    en: str
    unit_weight_g: float
    unit_weight_sd_g: float
    pack_units: int
    price_minor: int
    popularity: float

    @property
    def capacity(self) -> int:
        """Units that fit on one bay."""
        return max(6, min(CAPACITY_MAX, int(BAY_G // self.unit_weight_g)))


class Person(NamedTuple):
    """Somebody who logs in; ``org`` '' sees the whole tenant."""

    login: str
    role: str
    org: str
    name: str


ORGS: Final = (
    Org("brand", "", "brand", TENANT_NAME),
    Org("dealer-east", "brand", "dealer", "华东联发商贸 East China Lianfa Trading"),
    Org("dealer-north", "brand", "dealer", "北方鼎盛供应链 Northern Dingsheng Supply"),
    Org("stores-sh", "dealer-east", "store", "邻里便利（上海）Linli Convenience, Shanghai"),
    Org("stores-hz", "dealer-east", "store", "湖畔生活（杭州）Lakeside Living, Hangzhou"),
    Org("stores-bj", "dealer-north", "store", "胡同口超市（北京）Hutong Corner, Beijing"),
)

STORES: Final = (
    Store("sh-jingan", "stores-sh", "邻里便利 静安寺店 Linli Jing'an Temple", "上海", 31.2235, 121.4453),
    Store("sh-xuhui", "stores-sh", "邻里便利 徐家汇店 Linli Xujiahui", "上海", 31.1955, 121.4370),
    Store("sh-pudong", "stores-sh", "邻里便利 陆家嘴店 Linli Lujiazui", "上海", 31.2397, 121.4998),
    Store("hz-westlake", "stores-hz", "湖畔生活 西湖店 Lakeside West Lake", "杭州", 30.2590, 120.1550),
    Store("bj-chaoyang", "stores-bj", "胡同口超市 朝阳店 Hutong Corner Chaoyang", "北京", 39.9219, 116.4435),
    Store("bj-haidian", "stores-bj", "胡同口超市 中关村店 Hutong Corner Zhongguancun", "北京", 39.9836, 116.3164),
)

ARTICLES: Final = (
    Article("cola-330", "晨露可乐 330 毫升罐装", "Dew Cola 330 ml can", 352, 2.0, 24, 350, 3.0),
    Article("cola-0-330", "晨露无糖可乐 330 毫升罐装", "Dew Cola Zero 330 ml can", 347, 2.0, 24, 350, 2.0),
    Article("cola-500", "晨露可乐 500 毫升", "Dew Cola 500 ml", 531, 3.0, 15, 450, 2.0),
    Article("lemon-500", "晨露柠檬汽水 500 毫升", "Dew Lemon Soda 500 ml", 533, 3.0, 15, 450, 1.5),
    Article("water-550", "晨露天然水 550 毫升", "Dew Spring Water 550 ml", 571, 3.0, 24, 200, 3.0),
    Article("water-1500", "晨露天然水 1.5 升", "Dew Spring Water 1.5 l", 1_539, 6.0, 12, 450, 0.8),
    Article("sparkling-330", "晨露气泡水 330 毫升", "Dew Sparkling 330 ml", 349, 2.5, 24, 500, 1.2),
    Article("tea-green-500", "晨露绿茶 500 毫升", "Dew Green Tea 500 ml", 523, 3.0, 15, 500, 2.0),
    Article("tea-oolong-500", "晨露乌龙茶 500 毫升", "Dew Oolong Tea 500 ml", 522, 3.0, 15, 550, 1.8),
    Article("tea-jasmine-500", "晨露茉莉花茶 500 毫升", "Dew Jasmine Tea 500 ml", 524, 3.0, 15, 500, 1.4),
    Article("juice-orange-300", "晨露鲜橙汁 300 毫升", "Dew Orange Juice 300 ml", 338, 3.0, 12, 900, 1.0),
    Article("juice-apple-300", "晨露苹果汁 300 毫升", "Dew Apple Juice 300 ml", 336, 3.0, 12, 900, 0.8),
    Article("coffee-latte-268", "晨露拿铁咖啡 268 毫升", "Dew Latte 268 ml", 301, 2.5, 15, 690, 1.5),
    Article("coffee-black-268", "晨露美式咖啡 268 毫升", "Dew Black Coffee 268 ml", 296, 2.5, 15, 650, 1.2),
    Article("milk-250", "晨露纯牛奶 250 毫升", "Dew Milk 250 ml", 268, 2.0, 24, 420, 1.6),
    Article("yogurt-200", "晨露酸奶 200 克", "Dew Yogurt 200 g", 222, 2.0, 24, 580, 1.3),
    Article("soy-300", "晨露豆奶 300 毫升", "Dew Soy Milk 300 ml", 326, 2.5, 24, 480, 0.9),
    Article("energy-250", "晨露能量饮料 250 毫升", "Dew Energy 250 ml", 276, 2.0, 24, 600, 1.4),
    Article("isotonic-500", "晨露电解质水 500 毫升", "Dew Isotonic 500 ml", 529, 3.0, 15, 500, 1.1),
    Article("plum-500", "晨露酸梅汤 500 毫升", "Dew Plum Drink 500 ml", 541, 3.0, 15, 550, 0.9),
    Article("coconut-245", "晨露椰子汁 245 毫升", "Dew Coconut 245 ml", 279, 2.5, 24, 480, 0.8),
    Article("herbal-310", "晨露凉茶 310 毫升", "Dew Herbal Tea 310 ml", 333, 2.0, 24, 400, 1.2),
    Article("noodles-beef-105", "晨露红烧牛肉面 105 克", "Dew Beef Noodles 105 g", 128, 2.0, 12, 550, 1.2),
    Article("biscuits-150", "晨露苏打饼干 150 克", "Dew Soda Biscuits 150 g", 163, 2.0, 20, 680, 0.9),
)

PEOPLE: Final = (
    Person("hq@demo", "hq", "", "陈晓 Chen Xiao"),
    Person("ops@demo", "ops", "", "王敏 Wang Min"),
    Person("dealer.east@demo", "dealer", "dealer-east", "李建国 Li Jianguo"),
    Person("dealer.north@demo", "dealer", "dealer-north", "赵磊 Zhao Lei"),
    Person("rep.east@demo", "rep", "dealer-east", "周婷 Zhou Ting"),
    Person("store.shanghai@demo", "store", "stores-sh", "孙丽 Sun Li"),
    Person("auditor@demo", "auditor", "", "吴迪 Wu Di"),
)


class Bay(NamedTuple):
    """A bay of a shelf and what lies on it when the demo starts."""

    store: Store
    device: str
    unit: int
    bay: int
    article: Article
    units: int

    @property
    def slot(self) -> str:
        """Name of its slot and load cell."""
        return f"{self.device}-b{self.bay}"

    @property
    def reorder_point(self) -> int:
        """A third of what fits."""
        return self.article.capacity // 3


def bays() -> Iterator[Bay]:
    """All bays. Articles take turns, so that each stands in every store; some bays start fuller than others."""
    for store, shelves in zip(STORES, SHELVES_PER_STORE, strict=True):
        for position in range(shelves * BAYS):
            article = ARTICLES[position % len(ARTICLES)]
            shelf, bay = divmod(position, BAYS)
            # 60 … 100 % of the capacity, the same in each run.
            filled = 0.6 + 0.4 * ((position * 7 + len(store.site)) % 10) / 9
            units = round(article.capacity * filled)
            if (store.site, article.sku) == (RUSH_SITE, RUSH_SKU):
                units = article.capacity // 3 + 2
            yield Bay(store, f"s{shelf + 1:02}", shelf + 1, bay + 1, article, units)


def gtin_of(position: int) -> str:
    """GTIN-13 of the article at ``position``: prefix 20, a running number, and its check digit."""
    return with_check_digit(f"20{position + 1:010}")


def with_check_digit(body: str) -> str:
    """A GTIN from its other digits (GS1 General Specifications, section 7.9)."""
    digits = [int(digit) for digit in reversed(body)]
    check = -(3 * sum(digits[0::2]) + sum(digits[1::2])) % 10
    return f"{body}{check}"
