"""What was decided about a slot, and on what grounds. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.frames import EventKind


class Considered(NamedTuple):
    """A meaning that was weighed: units of the slot's own and of others, or a load that left (``load_g``)."""

    own: int
    other: Mapping[str, int]
    load_g: float
    residual_sd: float
    """How far the difference was from what this predicts, in standard deviations."""
    probability: float


class Evidence(NamedTuple):
    """The grams behind a decision: weights before and after, and how sure they are."""

    before_g: float
    after_g: float
    sd_g: float
    """Of the difference, from the scale's noise alone."""
    noise_g: float
    """Of one sample."""
    samples: int
    """Of the new plateau."""
    unit_g: float
    unit_sd_g: float
    considered: tuple[Considered, ...] = ()


class Decision(NamedTuple):
    """One event; ``t_ms`` when the plateau began, ``decided_ms`` when it was clear. See contracts.frames.Event."""

    id: str
    t_ms: int
    decided_ms: int
    slot: str
    kind: EventKind
    units: int
    delta_g: float
    conf: float
    on_shelf: int
    other: Mapping[str, int] = {}
    of: str = ""
    why: str = ""
    evidence: Evidence | None = None


def audit(decision: Decision) -> dict[str, object]:
    """A decision with its grounds, ready for JSON: what ``edge infer --explain`` writes and a command shows."""
    record = decision._asdict() | {"kind": decision.kind.value, "other": dict(decision.other)}
    evidence = decision.evidence
    if evidence is None:
        return record
    grounds: dict[str, object] = {
        name: round(value, 2) if isinstance(value, float) else value for name, value in evidence._asdict().items()
    }
    grounds["considered"] = [
        each._asdict()
        | {
            "other": dict(each.other), "load_g": round(each.load_g, 1),
            "residual_sd": round(each.residual_sd, 2), "probability": round(each.probability, 4),
        }
        for each in evidence.considered
    ]  # fmt: skip
    return record | {"evidence": grounds}
