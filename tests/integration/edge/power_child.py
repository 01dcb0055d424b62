"""A life between two power cuts: groups of frames go into the outbox, and are published once they are said to be safe.

Arguments: the folder, the seed, how many groups, and the mode of ``PRAGMA synchronous``. Publishing is a line
"lane seq" in the file ``published``, which the journal sees in its place among the writes.
"""

import os
import sys
from pathlib import Path
from random import Random

from contracts.topics import Lane
from edge_agent.outbox import queries
from edge_agent.outbox.file import Entry, Outbox
from tests.integration.edge.frame_makers import event, tel_entry

folder, seed, groups, synchronous = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
assert "PRAGMA synchronous = FULL" in queries.PRAGMAS
queries.PRAGMAS = tuple(  # type: ignore[misc, assignment]  # the control: what the test must find
    f"PRAGMA synchronous = {synchronous}" if "synchronous" in pragma else pragma for pragma in queries.PRAGMAS
)
rng = Random(seed)
outbox = Outbox(folder / "outbox.db", machine="machine-1", max_bytes=1 << 30)
outbox.open()
published = os.open(folder / "published", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for _ in range(groups):
    marks = outbox.marks()
    first = marks[Lane.TEL].last + 1
    entries = [tel_entry(float(first + k), readings=40) for k in range(rng.randint(1, 20))]
    if rng.random() < 0.3:
        entries.append(Entry(Lane.EVT, event(marks[Lane.EVT].last + 1), 0, {"s01-b1": str(first).encode()}))
    if rng.random() < 0.2:  # the platform has committed something: frames leave
        outbox.release(Lane.TEL, rng.randint(marks[Lane.TEL].committed, marks[Lane.TEL].last))
    outbox.write(entries)
    lines = [f"{lane.value} {mark.last} {mark.committed}\n" for lane, mark in outbox.marks().items()]
    os.write(published, "".join(lines).encode())
os._exit(0)
