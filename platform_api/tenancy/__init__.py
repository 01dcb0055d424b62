"""Tenants, their people and keys, and how these log in."""
