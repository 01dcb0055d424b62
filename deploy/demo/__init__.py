"""The demo: a brand with two dealers and six stores, whose shelves sell from the first second.

``market`` is who and what there is, ``files`` writes it down (CSV files, a configuration for each gateway, the
simulators' plan), ``people`` makes the log-ins, ``scene`` puts all of it on a stack and plays the scripted story.
"""
