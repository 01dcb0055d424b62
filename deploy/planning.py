"""The planner of the worker: the stream's policies behind what replenishment asks (``platform_api``)."""

from collections.abc import Mapping, Sequence
from typing import Final

from platform_api.replenishment.planning import Lane, Need, Planned, Planner


def fit(need: Need) -> int:
    """Units to order: whole packs, at least the minimum, within the room; 0 where that is impossible."""
    # Solvers take a second and much memory to import, for a job that mostly finds nothing to do.
    from stream.policy.constraints import Limits, Line, NoSolutionError  # noqa: PLC0415
    from stream.policy.constraints import fit as solve  # noqa: PLC0415

    line = Line(wanted=need.wanted, value=1.0, pack=need.pack, minimum=need.minimum, room=need.room)
    try:
        (units,) = solve([line], Limits())
    except NoSolutionError:
        return 0
    return units


def moves(
    spare: Mapping[str, int], lack: Mapping[str, int], lanes: Sequence[Lane], purchase_minor: int
) -> list[Planned]:
    """The cheapest moves that end every lack, from the supplier (origin '') where no lane is cheaper."""
    from stream.policy import transfers  # noqa: PLC0415

    ways = [transfers.Lane(lane.origin, lane.destination, lane.cost_minor) for lane in lanes]
    planned = transfers.plan_transfers(dict(spare), dict(lack), ways, purchase_minor)
    return [Planned(move.origin, move.destination, move.units) for move in planned]


PLANNER: Final = Planner(fit, moves)
