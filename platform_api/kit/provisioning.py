"""What a gateway is told besides its secret: where the broker is, and whom to believe."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provisioning:
    """``broker_url`` as gateways reach it, '' when this platform was not told; PEM and minisign texts, or ''."""

    broker_url: str = ""
    ca_pem: str = ""
    update_key: str = ""
