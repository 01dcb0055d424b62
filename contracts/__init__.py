"""What two processes must agree on: topics, frames, events, acks, presence, metrics, ids.

Standard library, msgspec and xxhash only. Everything here is wire format or a name that is stored,
so a change is a protocol change: the golden files in ``tests/unit/golden`` pin the bytes.
Start with ``frames`` (what a gateway sends) and ``acks`` (what makes it safe to forget).
"""
