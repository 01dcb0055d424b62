"""The detectors that others use: ``SeriesDetector`` for any series, ``SpikeFinder`` for the frames of a bucket.

Both are pure and deterministic: no clock, no I/O, the same findings when the same readings are replayed.
"""

from stream.detector import ALARM_SCORE, SeriesDetector
from stream.spike import Spike, SpikeFinder

__all__ = ["ALARM_SCORE", "SeriesDetector", "Spike", "SpikeFinder"]
