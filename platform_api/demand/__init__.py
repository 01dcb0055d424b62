"""Forecasts of demand, and how good they were. Written by the night's work of the stream; only read here."""
