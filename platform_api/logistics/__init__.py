"""Shipments: what left, where it is, and who signed for it."""
