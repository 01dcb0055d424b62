"""Makes, signs and verifies the releases that gateways fetch (edge_agent.update)."""
