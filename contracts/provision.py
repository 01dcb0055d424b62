"""How a gateway gets its name and its credential: a claim code of one use, redeemed over HTTPS."""

from typing import Annotated, Final

import msgspec

from contracts.ids import Identifier

REDEEM_PATH: Final = "/v1/claims:redeem"
CODE_PATTERN: Final = r"^[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}\Z"
"""Four groups of five of Crockford's base 32 (100 bits): ``7KZ3M-…``, typed by an installer in a back room."""
MACHINE_PATTERN: Final = r"^[0-9a-f]{64}\Z"
REDEEM_MAX_BYTES: Final = 16 * 1024


class Redeem(msgspec.Struct, frozen=True):
    """Body of POST ``REDEEM_PATH``. ``machine`` is the SHA-256 of the machine id, in hexadecimal."""

    code: Annotated[str, msgspec.Meta(pattern=CODE_PATTERN)]
    machine: Annotated[str, msgspec.Meta(pattern=MACHINE_PATTERN)]
    agent: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Provision(msgspec.Struct, frozen=True):
    """Its answer, given once. ``broker_url`` is without user and password; ``ca_pem`` is '' for a public authority.

    ``username`` is ``{tenant}/{gateway}``; ``update_key`` the public key (minisign's text) that signs updates, or ''.
    """

    tenant: Identifier
    site: Identifier
    gateway: Identifier
    broker_url: str
    username: str
    secret: str
    ca_pem: str = ""
    update_key: str = ""


def username(tenant: str, gateway: str) -> str:
    """The MQTT user of a gateway."""
    return f"{tenant}/{gateway}"
