"""Shelves, stores, faults and fleets that behave like real ones."""
