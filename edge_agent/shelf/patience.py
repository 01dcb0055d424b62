"""How long to look before a meaning is told. Pure.

What goes is told at once, what comes may be a bag. Times are those that the new plateau has lasted.
"""

from typing import Final

from edge_agent.shelf.hypotheses import Guess
from edge_agent.shelf.plateau import WINDOW

RISE_CONFIRM_MS: Final = 60_000
FOREIGN_CONFIRM_MS: Final = 30_000
SWAP_CONFIRM_MS: Final = 20_000
AWAY_CONFIRM_MS: Final = 3_000
STAIRS_CONFIRM_MS: Final = 6_000
"""One unit, or one more, may be the first of many that are laid down one by one."""
STAIRS_MIN: Final = 2
"""So many rests on the way up are stairs; one may be a hand."""
UNKNOWN_CONFIRM_MS: Final = 20_000
ABSORB_CONFIRM_MS: Final = 5_000
SURE_DROP_SD: Final = 2.0
CONFIRM_SAMPLES: Final = 3
SURE_RISE_CONF: Final = 0.92
FEW_UNITS: Final = 2


def fits_well(guess: Guess, samples: int) -> bool:
    """Whether it fits closely, or was looked at a little longer."""
    return guess.residual_sd <= SURE_DROP_SD or samples >= WINDOW + CONFIRM_SAMPLES


def is_given_up(guess: Guess, age_ms: int, *, is_doubtful: bool) -> bool:
    """Whether a rise that stayed is still likelier a load than the refill that it fits."""
    return is_doubtful and age_ms >= RISE_CONFIRM_MS and guess.rises and not guess.other


def is_clear_change(guess: Guess, age_ms: int, samples: int, *, is_away: bool) -> bool:
    """Whether to tell what is no plain rise: a drop, a swap, an article of the neighbour's, or a change while away."""
    if guess.is_swap:
        return age_ms >= SWAP_CONFIRM_MS
    if is_away:
        return age_ms >= AWAY_CONFIRM_MS
    if not guess.rises:
        return fits_well(guess, samples)
    return bool(guess.other) and age_ms >= FOREIGN_CONFIRM_MS


def looks_like_refill(guess: Guess, conf: float) -> bool:
    """Whether a rise needs no time to be told from a load."""
    return conf >= SURE_RISE_CONF and guess.own > FEW_UNITS


def is_clear_refill(guess: Guess, conf: float, age_ms: int, *, fits: bool, by_steps: bool) -> bool:
    """Whether to tell a rise that is no put-back. ``fits``: to its weight, and on the slot."""
    if age_ms >= RISE_CONFIRM_MS:
        return True
    if not fits or conf < SURE_RISE_CONF:
        return False
    return age_ms >= STAIRS_CONFIRM_MS or (looks_like_refill(guess, conf) and not by_steps)
