"""Verifies signatures of the ``minisign`` program (https://jedisct1.github.io/minisign/, section "Signature format").

Prehashed ones only (algorithm ``ED``: Ed25519 over BLAKE2b-512): that is what minisign has written since 0.10.
"""

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge_agent.update.errors import UpdateError

KEY_ALGORITHM: Final = b"Ed"
PREHASHED: Final = b"ED"
LEGACY: Final = b"Ed"
ID_BYTES: Final = 8
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
UNTRUSTED: Final = "untrusted comment: "
TRUSTED: Final = "trusted comment: "
SIGNATURE_LINES: Final = 4


class PublicKey(NamedTuple):
    """Who is believed. ``id`` only finds the right key; it proves nothing."""

    id: bytes
    key: Ed25519PublicKey


def parse_key(text: str) -> PublicKey:
    """A public key as minisign prints it: the base64 line, with or without the comment above. Raises UpdateError."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(UNTRUSTED)]
    if len(lines) != 1:
        msg = "that is no public key of minisign: one line of base64 is expected"
        raise UpdateError(msg)
    raw = _decode(lines[0], len(KEY_ALGORITHM) + ID_BYTES + KEY_BYTES, "public key")
    if raw[:2] != KEY_ALGORITHM:
        msg = "the public key is not for Ed25519"
        raise UpdateError(msg)
    return PublicKey(raw[2:10], Ed25519PublicKey.from_public_bytes(raw[10:]))


def verify(message: bytes, signature: str, key: PublicKey) -> str:
    """The trusted comment of a good signature. Raises UpdateError for any other."""
    lines = signature.splitlines()
    if len(lines) != SIGNATURE_LINES or not lines[0].startswith(UNTRUSTED) or not lines[2].startswith(TRUSTED):
        msg = "the signature is not in minisign's format"
        raise UpdateError(msg)
    raw = _decode(lines[1], len(PREHASHED) + ID_BYTES + SIGNATURE_BYTES, "signature")
    over_both = _decode(lines[3], SIGNATURE_BYTES, "signature of the comment")
    algorithm, key_id, proof = raw[:2], raw[2:10], raw[10:]
    if algorithm == LEGACY:
        msg = "the signature is in minisign's legacy format: sign without -l"
        raise UpdateError(msg)
    if algorithm != PREHASHED:
        msg = "the signature's algorithm is not known"
        raise UpdateError(msg)
    if key_id != key.id:
        msg = f"signed with another key: {key_name(key_id)}, ours is {key_name(key.id)}"
        raise UpdateError(msg)
    comment = lines[2].removeprefix(TRUSTED)
    try:
        key.key.verify(proof, hashlib.blake2b(message).digest())
        key.key.verify(over_both, proof + comment.encode())
    except InvalidSignature as error:
        msg = "the signature does not fit: what was signed has been altered"
        raise UpdateError(msg) from error
    return comment


def key_name(key_id: bytes) -> str:
    """A key's id as minisign prints it."""
    return f"{int.from_bytes(key_id, 'little'):016X}"


def _decode(line: str, size: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = f"the {what} is not base64"
        raise UpdateError(msg) from error
    if len(raw) != size:
        msg = f"the {what} has {len(raw)} bytes, not {size}"
        raise UpdateError(msg)
    return raw
