"""Modbus and other field buses: what is asked of which device, when, and what its words mean."""
