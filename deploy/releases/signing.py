"""Signs in minisign's format with a secret key of minisign (its manual, section "Secret key format")."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from contracts.errors import UserError

ED25519: Final = b"Ed"
PREHASHED: Final = b"ED"
SCRYPT: Final = b"Sc"
NO_KDF: Final = b"\0\0"
BLAKE2B: Final = b"B2"
SALT_BYTES: Final = 32
BOX_BYTES: Final = 8 + 64 + 32
KEY_FILE_BYTES: Final = 6 + SALT_BYTES + 16 + BOX_BYTES
MEMORY_MAX_BYTES: Final = 2 * 1024**3
BLOCK: Final = 8


class SecretKey(NamedTuple):
    """Whoever has it decides what gateways run."""

    id: bytes
    key: Ed25519PrivateKey


def read_key(text: str, ask_password: Callable[[], str]) -> SecretKey:
    """Open a secret key file; the password is asked for when it has one. Raises UserError."""
    lines = text.splitlines()
    try:
        raw = base64.b64decode(lines[1], validate=True)
    except (IndexError, binascii.Error, ValueError) as error:
        msg = "that is no secret key of minisign"
        raise UserError(msg, "make one with `minisign -G`") from error
    if len(raw) != KEY_FILE_BYTES or raw[:2] != ED25519 or raw[4:6] != BLAKE2B:
        msg = "that is no secret key of minisign"
        raise UserError(msg, "make one with `minisign -G`")
    kdf, salt, box = raw[2:4], raw[6:38], raw[54:]
    operations, memory_bytes = int.from_bytes(raw[38:46], "little"), int.from_bytes(raw[46:54], "little")
    if kdf == SCRYPT:
        stream = _derive(ask_password(), salt, operations, memory_bytes)
        box = bytes(a ^ b for a, b in zip(box, stream, strict=True))
    elif kdf != NO_KDF:
        msg = "the secret key is protected in a way that is not known"
        raise UserError(msg, "sign with `minisign -S` itself")
    key_id, seed, public, checksum = box[:8], box[8:40], box[40:72], box[72:]
    # minisign -W has not always written a checksum; the public half must fit in any case.
    if kdf == SCRYPT and hashlib.blake2b(ED25519 + box[:72], digest_size=32).digest() != checksum:
        msg = "wrong password for the secret key"
        raise UserError(msg)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    if key.public_key().public_bytes_raw() != public:
        msg = "the secret key is damaged: its halves do not belong together"
        raise UserError(msg)
    return SecretKey(key_id, key)


def sign(message: bytes, trusted_comment: str, secret: SecretKey) -> str:
    """The text of a .minisig file."""
    assert "\n" not in trusted_comment, trusted_comment
    proof = secret.key.sign(hashlib.blake2b(message).digest())
    over_both = secret.key.sign(proof + trusted_comment.encode())
    return (
        "untrusted comment: signature of a shelfpulse release\n"
        f"{base64.b64encode(PREHASHED + secret.id + proof).decode()}\n"
        f"trusted comment: {trusted_comment}\n"
        f"{base64.b64encode(over_both).decode()}\n"
    )


def _derive(password: str, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    if memory_bytes > MEMORY_MAX_BYTES:
        msg = f"the secret key asks for {memory_bytes} bytes of memory"
        raise UserError(msg, "sign with `minisign -S` itself")
    cost, lanes = scrypt_parameters(operations, memory_bytes)
    try:
        return Scrypt(salt=salt, length=BOX_BYTES, n=cost, r=BLOCK, p=lanes).derive(password.encode())
    except (MemoryError, ValueError) as error:
        msg = f"the password cannot be tried here: {error}"
        raise UserError(msg, "sign with `minisign -S` itself") from error


def scrypt_parameters(operations: int, memory_bytes: int) -> tuple[int, int]:
    """N and p (r is 8) for limits as libsodium states them: ``pickparams`` of crypto_pwhash_scryptsalsa208sha256."""
    operations = max(operations, 32_768)
    if operations < memory_bytes // 32:
        return _power_of_two(operations // (BLOCK * 4)), 1
    cost = _power_of_two(memory_bytes // (BLOCK * 128))
    return cost, min(operations // 4 // cost, 0x3FFFFFFF) // BLOCK


def _power_of_two(limit: int) -> int:
    """The greatest power of two up to ``limit``, at least 2."""
    return max(2, 1 << (max(limit, 1).bit_length() - 1))
