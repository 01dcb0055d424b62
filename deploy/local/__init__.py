"""The local stack: an embedded database, a broker, and a supervisor for our own processes.

Start with ``stack`` (what ``shelfpulse up`` starts and in which order); ``postgres`` and ``broker`` say how each
service is configured and why, ``process`` and ``supervisor`` how children live and die.
"""
