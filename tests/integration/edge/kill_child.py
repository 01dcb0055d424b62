"""Writes to the outbox as fast as it can, and says each last sequence number once it is on the disk. Gets killed."""

import sys
from pathlib import Path

from contracts.topics import Lane
from edge_agent.outbox.file import Outbox
from tests.integration.edge.frame_makers import tel_entry

outbox = Outbox(Path(sys.argv[1]), machine="machine-1", max_bytes=1 << 30)
outbox.open()
while True:
    outbox.write([tel_entry(float(k), readings=10) for k in range(3)])
    sys.stdout.write(f"{outbox.marks()[Lane.TEL].last}\n")
    sys.stdout.flush()
