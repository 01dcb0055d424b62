"""SQL of the simulators: registering a fleet before it speaks."""

from collections.abc import Sequence
from typing import Final, LiteralString

import psycopg

from contracts.errors import UserError
from contracts.topics import GatewayAddress

INSERT_TENANT: Final[LiteralString] = """
INSERT INTO tenant (tenant_id, name)
VALUES (%(tenant)s, %(tenant)s)
ON CONFLICT DO NOTHING
"""

INSERT_SITE: Final[LiteralString] = """
INSERT INTO site (tenant_id, site_id, name)
VALUES (%(tenant)s, %(site)s, %(site)s)
ON CONFLICT DO NOTHING
"""

INSERT_GATEWAY: Final[LiteralString] = """
INSERT INTO gateway (tenant_id, gateway_id, site_id, name)
VALUES (%(tenant)s, %(gateway)s, %(site)s, %(gateway)s)
ON CONFLICT DO NOTHING
"""

CONNECT_TIMEOUT_S: Final = 10


def register(dsn: str, addresses: Sequence[GatewayAddress]) -> None:
    """Make the gateways known, with their sites and tenants; what is known stays as it is. Raises UserError."""
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection, connection.cursor() as cursor:
            for tenant in sorted({address.tenant for address in addresses}):
                cursor.execute(INSERT_TENANT, {"tenant": tenant})
            for tenant, site in sorted({(address.tenant, address.site) for address in addresses}):
                cursor.execute(INSERT_SITE, {"tenant": tenant, "site": site})
            cursor.executemany(INSERT_GATEWAY, [address._asdict() for address in addresses])
    except psycopg.Error as error:
        msg = f"cannot register the fleet: {str(error).strip().splitlines()[0]}"
        raise UserError(msg, "is SHELFPULSE_DSN right and the database migrated?") from error
