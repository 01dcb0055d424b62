"""Replenishment policies: what to order, given what is there and what is on its way. Pure."""
