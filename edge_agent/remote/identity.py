"""Which machine this is, as the platform may know it."""

import hashlib

from edge_agent.clock import machine_id


def machine_hash() -> str:
    """SHA-256 of the machine's id, in hexadecimal: the id itself is nobody else's business (machine-id(5))."""
    return hashlib.sha256(machine_id().encode()).hexdigest()
