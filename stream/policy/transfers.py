"""Transfer before purchase: what lies idle at one site goes to those that lack it. Pure; min-cost flow by networkx."""

from dataclasses import dataclass
from typing import Final

import networkx as nx

COST_SCALE: Final = 100
"""Costs are whole numbers in the flow: money a unit to two decimals."""


@dataclass(frozen=True)
class Lane:
    """A way between two sites: money a unit."""

    origin: str
    destination: str
    cost: float


@dataclass(frozen=True)
class Move:
    """Units to move; ``origin`` is the supplier where it is ''."""

    origin: str
    destination: str
    units: int


def plan_transfers(spare: dict[str, int], lack: dict[str, int], lanes: list[Lane], purchase: float) -> list[Move]:
    """The cheapest moves that end every lack: from sites with ``spare`` units where a lane costs less than buying.

    ``purchase``: money a unit from the supplier, who has enough of everything. Whole units; sorted.
    """
    graph = nx.DiGraph()
    needed = sum(lack.values())
    graph.add_node("", demand=-needed)
    for site, units in lack.items():
        graph.add_node(("to", site), demand=units)
        graph.add_edge("", ("to", site), weight=round(purchase * COST_SCALE))
    for site, units in spare.items():
        # A site's spare units replace bought ones: they come from the same source, as many as there are.
        graph.add_edge("", ("from", site), weight=0, capacity=units)
    for lane in lanes:
        if lane.origin in spare and lane.destination in lack and lane.origin != lane.destination:
            graph.add_edge(("from", lane.origin), ("to", lane.destination), weight=round(lane.cost * COST_SCALE))
    flow = nx.min_cost_flow(graph)
    moves = [
        Move("" if origin == "" else origin[1], destination[1], units)
        for origin, ways in flow.items()
        for destination, units in ways.items()
        if units > 0 and isinstance(destination, tuple) and destination[0] == "to"
    ]
    return sorted(moves, key=lambda move: (move.origin, move.destination))
