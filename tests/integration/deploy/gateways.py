"""Gateways in a database, claimed as real ones claim their credentials."""

import hashlib
from typing import NamedTuple

import psycopg

from contracts.ids import username
from contracts.topics import GatewayAddress
from platform_api.devices import service
from platform_api.tenancy.service import create_tenant
from tests.services.brokers import BrokerHandle


class Claimed(NamedTuple):
    """A gateway with its secret."""

    address: GatewayAddress
    secret: str

    def url(self, broker: BrokerHandle) -> str:
        """The broker as this gateway reaches it."""
        return broker.broker.gateway_url(username(self.address.tenant, self.address.gateway), self.secret)


def register(dsn: str, *names: str, tenant: str = "acme") -> None:
    """Gateways of one site."""
    with psycopg.connect(dsn) as connection:
        create_tenant(connection, tenant, tenant.title())
        connection.execute(
            "INSERT INTO site (tenant_id, site_id, name) VALUES (%s, 'north', 'North') ON CONFLICT DO NOTHING",
            (tenant,),
        )
        for name in names:
            connection.execute(
                "INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES (%s, %s, 'north')", (tenant, name)
            )


def claim(dsn: str, gateway: str, tenant: str = "acme") -> Claimed:
    """Invite a registered gateway and redeem its code."""
    with psycopg.connect(dsn) as connection:
        made = service.invite(connection, tenant_id=tenant, gateway=gateway)
        machine = hashlib.sha256(gateway.encode()).hexdigest()
        issued = service.redeem(connection, code=made.code, machine=machine)
    assert issued is not None
    return Claimed(GatewayAddress(tenant, issued.site, gateway), issued.secret)


def revoke(dsn: str, gateway: str, tenant: str = "acme") -> None:
    """Take a gateway's credential."""
    with psycopg.connect(dsn) as connection:
        service.revoke(connection, tenant_id=tenant, gateway=gateway)
