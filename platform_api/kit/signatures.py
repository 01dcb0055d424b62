"""Standard Webhooks: signs what we send, and checks what is sent to us (by the reference library)."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

PREFIX: Final = "whsec_"
KEY_BYTES: Final = 32


def new_secret() -> str:
    """A new signing secret, as Standard Webhooks writes it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a body was signed with the secret within five minutes of now.

    ``headers`` are ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``; of several signatures one must fit.
    """
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        # The library lets through what malformed signatures and bodies raise on the way.
        return False
    return True


def signed_headers(keys: Sequence[str], message_id: str, at: datetime, body: str) -> dict[str, str]:
    """Headers that prove a body (aware UTC time), one signature for each of the secrets."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, body) for key in keys),
    }
