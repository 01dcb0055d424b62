"""What happens in the demo, in seconds after the shelves begin to answer; told to people as it happens."""

from typing import Final, NamedTuple

from deploy.demo import market
from simulators.story import AnyAction, Restock, Rush, Spike, Theft

RESTOCK_SITE: Final = "bj-haidian"
BROKER_RESTART_S: Final = 100.0


class Line(NamedTuple):
    """What to tell at ``at_s``."""

    at_s: float
    text: str


def story() -> tuple[AnyAction, ...]:
    """The actions of the simulators."""
    jingan, pudong = market.STORES[0].gateway, market.STORES[2].gateway
    return (
        Rush(at_s=8, sku=market.RUSH_SKU, site=market.RUSH_SITE, factor=40.0, for_s=45.0),
        Spike(at_s=30, place=f"{pudong}/s02-b3", value=88_000.0),
        Restock(at_s=50, site=RESTOCK_SITE, takes_s=20.0),
        Spike(at_s=75, place=f"{jingan}/s05-b1", value=64_000.0),
        Theft(at_s=130, place=f"{pudong}/s04-b2"),
        Restock(at_s=150, sku=market.RUSH_SKU, site=market.RUSH_SITE),
    )


LINES: Final = (
    Line(8, "Jing'an Temple: a promotion begins, everybody wants cola"),
    Line(30, "Lujiazui: electrical noise on one load cell; it should be called a spike, not a sale"),
    Line(50, "Zhongguancun: the staff fills the shelves"),
    Line(75, "Jing'an Temple: noise on another load cell"),
    Line(BROKER_RESTART_S, "the broker is killed and started again; no reading may be lost"),
    Line(130, "Lujiazui: somebody sweeps a whole bay into a bag"),
    Line(150, "Jing'an Temple: the refill arrives, and the shelf itself confirms it"),
)
