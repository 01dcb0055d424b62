"""Fills the outbox until its files may not grow, then gets room again. Prints what it saw as JSON."""

import json
import resource
import sys
from pathlib import Path

from contracts.frames import TelemetryFrame, decode
from contracts.topics import Lane
from edge_agent.outbox.file import Outbox, OutboxFullError
from tests.integration.edge.frame_makers import tel_entry

LIMIT_BYTES = 300_000

outbox = Outbox(Path(sys.argv[1]), machine="machine-1", max_bytes=1 << 30)
outbox.open()
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))
refused = 0
while refused < 3:
    try:
        outbox.write([tel_entry(float(outbox.marks()[Lane.TEL].last), readings=40)])
    except OutboxFullError:
        refused += 1
before = outbox.marks()[Lane.TEL].last
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
outbox.write([tel_entry(float(before), readings=40)])
values: list[int] = []
while batch := outbox.read(Lane.TEL, len(values), 256):
    for stored in batch:
        frame = decode(Lane.TEL, stored.payload)
        assert isinstance(frame, TelemetryFrame)
        values.append(int(frame.x[0]))
sys.stdout.write(
    json.dumps({"refused": refused, "before": before, "after": outbox.marks()[Lane.TEL].last, "values": values})
)
outbox.close()
