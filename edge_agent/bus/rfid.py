"""Tags that an RFID reader sees, round by round: which are there, and which are gone. Pure.

A reader misses tags: behind metal, under a hand, in a collision. So a tag that is not seen is *missing*, and *removed*
only after a number of rounds in a row without it.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

MISSED_ROUNDS: Final = 3
"""A reader that sees a tag in 90 % of its rounds takes it for removed by mistake once in 1,000 rounds."""
TAGS_MAX: Final = 2_000
"""Tags of one round: more than a reader sees at once."""


class Changes(NamedTuple):
    """What a round brought; ``appeared`` and ``removed`` are sorted."""

    appeared: list[str]
    removed: list[str]


class TagTracker:
    """The tags before one reader.

    ``missed_rounds`` k: removed in the k-th round in a row without the tag. ``passages`` counts tags that appeared,
    each anew when it comes back after its removal.
    """

    def __init__(self, missed_rounds: int = MISSED_ROUNDS) -> None:
        assert missed_rounds >= 1
        self._missed_rounds = missed_rounds
        self._missed: dict[str, int] = {}
        self._round: int | None = None
        self.passages = 0

    @property
    def present(self) -> int:
        """Tags that are there, the missing included."""
        return len(self._missed)

    def step(self, number: int, tags: Collection[str]) -> Changes | None:
        """Take a round; None for one that was taken before (the reader did not hear our answer and sent it again).

        Only the same number twice in a row is a repetition: a lower one is that of a reader that began anew, and a
        jump means rounds that never came, which say nothing about any tag.
        """
        if number == self._round:
            return None
        self._round = number
        seen = frozenset(tags)
        appeared = sorted(seen - self._missed.keys())
        for tag in seen:
            self._missed[tag] = 0
        removed = []
        for tag in self._missed.keys() - seen:
            self._missed[tag] += 1
            if self._missed[tag] >= self._missed_rounds:
                del self._missed[tag]
                removed.append(tag)
        self.passages += len(appeared)
        return Changes(appeared, sorted(removed))
