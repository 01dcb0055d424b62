"""Dropouts that people's labels keep back: told when the labels end, if they are not over by then. Pure.

In memory only: what is kept back when the process ends is told with its end, or when it happens again.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from contracts.facts import AnomalyKind
from stream.watch.finding import Finding
from stream.watch.watch import Strictness

IGNORED: Final = 8.0
"""A threshold that people have raised so far is never reached by what has no degree."""


class KeptBack:
    """Dropouts of one bucket's gateways that were found and not told."""

    def __init__(self) -> None:
        self._findings = dict[UUID, Finding]()

    def sift(self, found: Iterable[Finding], strictness: Strictness) -> list[Finding]:
        """Those of ``found`` to tell now, and what is no longer to be kept back."""
        told = []
        for each in found:
            if each.kind is not AnomalyKind.DROPOUT:
                told.append(each)
            elif each.end_us is not None:
                if self._findings.pop(each.id, None) is None:
                    told.append(each)
            else:
                self._findings[each.id] = each
        due = [each for each in self._findings.values() if not _is_ignored(each, strictness)]
        for each in due:
            del self._findings[each.id]
        return told + due


def _is_ignored(each: Finding, strictness: Strictness) -> bool:
    return strictness(each.place.tenant, each.kind, each.place.name) >= IGNORED
