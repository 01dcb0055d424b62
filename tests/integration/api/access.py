"""Who may ask what: each route of the API, and the roles that it answers.

A new route fails test_access until it has its row here.
"""

from typing import Final

from platform_api.kit.auth import Role

ALL: Final = frozenset(Role)
HQ: Final = frozenset({Role.HQ})
AUDITORS: Final = frozenset({Role.HQ, Role.AUDITOR})
OPERATORS: Final = frozenset({Role.HQ, Role.OPS})
DECIDERS: Final = frozenset({Role.HQ, Role.OPS, Role.DEALER, Role.STORE})

ACCESS: Final[dict[str, frozenset[Role]]] = {
    "GET /": ALL,
    "GET /docs": ALL,
    "GET /openapi.json": ALL,
    "GET /wall/slots/{gateway}/{slot}": ALL,
    "GET /v1/me": ALL,
    "GET /v1/live": ALL,
    "GET /v1/live/wall": ALL,
    "GET /v1/readings": ALL,
    "GET /v1/readings:export": ALL,
    "GET /v1/gaps": ALL,
    "GET /v1/shelf-positions": ALL,
    "GET /v1/events": ALL,
    "GET /v1/sell-through": ALL,
    "GET /v1/availability": ALL,
    "GET /v1/anomalies": ALL,
    "GET /v1/anomalies/{anomaly_id}": ALL,
    "POST /v1/anomalies/{anomaly_id}:acknowledge": DECIDERS,
    "POST /v1/anomalies/{anomaly_id}:resolve": DECIDERS,
    "POST /v1/anomalies/{anomaly_id}:dismiss": DECIDERS,
    "GET /v1/pos-sales": ALL,
    "POST /v1/pos-sales": DECIDERS,
    "GET /v1/proposals": ALL,
    "GET /v1/proposals/{proposal_id}": ALL,
    "POST /v1/proposals/{proposal_id}:approve": DECIDERS,
    "POST /v1/proposals/{proposal_id}:reject": DECIDERS,
    "GET /v1/sites": ALL,
    "GET /v1/devices": ALL,
    "GET /v1/series": ALL,
    "GET /v1/gateways": ALL,
    "GET /v1/gateways/{gateway}": ALL,
    "POST /v1/gateways/{gateway}:invite": OPERATORS,
    "POST /v1/gateways/{gateway}:revoke": OPERATORS,
    "POST /v1/gateways/{gateway}:reinstate": OPERATORS,
    "GET /v1/gateways/{gateway}/claims": ALL,
    "POST /v1/gateways/{gateway}/commands": OPERATORS,
    "GET /v1/gateways/{gateway}/commands": ALL,
    "GET /v1/gateways/{gateway}/commands/{command}": ALL,
    "GET /v1/gateways/{gateway}/config": ALL,
    "PUT /v1/gateways/{gateway}/config": OPERATORS,
    "GET /v1/gateways/{gateway}/configs": ALL,
    "GET /v1/orgs": ALL,
    "GET /v1/orgs/{org}": ALL,
    "POST /v1/orgs": HQ,
    "PUT /v1/orgs/{org}": HQ,
    "GET /v1/users": AUDITORS,
    "GET /v1/users/{user_id}": AUDITORS,
    "POST /v1/users": HQ,
    "PUT /v1/users/{user_id}": HQ,
    "GET /v1/api-keys": AUDITORS,
    "POST /v1/api-keys": HQ,
    "POST /v1/api-keys/{key_id}:revoke": HQ,
    "GET /v1/audit-log": AUDITORS,
}
