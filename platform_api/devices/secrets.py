"""Claim codes, and the secrets of gateways in the forms that brokers read. Only hashes are ever stored.

Codes and secrets are random (100 and 256 bits), so rounds of hashing protect nothing that guessing could find. They
are kept low because a broker hashes for every client that connects, and for all of them when its list is reloaded.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final, NamedTuple

import bcrypt

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS: Final = 4
_GROUP_CHARS: Final = 5
_SECRET_BYTES: Final = 32
_SALT_BYTES: Final = 12
_PBKDF2_ROUNDS: Final = 101
"""Mosquitto's own default."""
_BCRYPT_COST: Final = 4
"""The least that bcrypt has."""


class Hashes(NamedTuple):
    """What is stored of a gateway's secret."""

    pbkdf2: str
    """``$7$rounds$salt$hash``, for Mosquitto."""
    bcrypt: str
    """``$2a$…``, for NATS."""


def new_code() -> str:
    """A claim code as ``contracts.provision.CODE_PATTERN`` has it."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_CHARS)) for _ in range(_GROUPS))
    return "-".join(groups)


def new_secret() -> str:
    """The password of a gateway: 43 characters, under the 72 that bcrypt reads."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def code_digest(code: str) -> bytes:
    """What is stored of a claim code, and finds it: SHA-256."""
    return hashlib.sha256(code.encode()).digest()


def hash_secret(secret: str) -> Hashes:
    """Both hashes of a secret, with fresh salts."""
    # NATS knows bcrypt by the prefix that was current when it was written.
    salted = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(_BCRYPT_COST, prefix=b"2a"))
    return Hashes(pbkdf2(secret, secrets.token_bytes(_SALT_BYTES)), salted.decode())


def pbkdf2(secret: str, salt: bytes) -> str:
    """Entry of a Mosquitto password file: ``$7$rounds$salt$hash``, PBKDF2 with SHA-512."""
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, _PBKDF2_ROUNDS)
    return f"$7${_PBKDF2_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def is_secret_of(secret: str, entry: str) -> bool:
    """Whether ``secret`` is what a ``pbkdf2`` entry was made from."""
    salt = base64.b64decode(entry.split("$")[3])
    return hmac.compare_digest(pbkdf2(secret, salt), entry)
