"""Keeps the broker's users and access list equal to the database: ``shelfpulse access run``.

``entries`` says what a broker must know of each gateway and how it is spelled, ``files`` writes it down and makes the
broker read it, ``keeper`` does both whenever the database changes.
"""
