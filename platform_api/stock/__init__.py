"""Stock: a double-entry ledger of units and value, what is reserved and counted, and where shelf and books differ."""
