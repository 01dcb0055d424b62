"""A hash of readings that does not depend on their order: what I2 compares with what is stored."""

from typing import Final

import numpy as np
import numpy.typing as npt

_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_SERIES: Final = np.uint64(0x9E3779B97F4A7C15)


def reading_digests(
    series_id: npt.NDArray[np.int32], time_us: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint64]:
    """64-bit hash of each reading; all arrays have shape (n,), time in µs since 1970 UTC.

    Summed modulo 2**64 over a set of readings it tells whether two sets are equal, duplicates included. The mixer is
    the finaliser of splitmix64 (Steele, Lea and Flood, 2014), applied after each column.
    """
    h = _mix(series_id.astype(np.uint64) * _SERIES)
    h = _mix(h ^ np.ascontiguousarray(time_us, dtype=np.int64).view(np.uint64))
    # + 0.0 makes -0.0 and 0.0 one value, as they are for the database.
    return _mix(h ^ (np.ascontiguousarray(value, dtype=np.float64) + 0.0).view(np.uint64))


def digest_sum(digests: npt.NDArray[np.uint64]) -> int:
    """Sum modulo 2**64."""
    return int(np.sum(digests, dtype=np.uint64))


def _mix(h: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    h = (h ^ (h >> np.uint64(30))) * _M1
    h = (h ^ (h >> np.uint64(27))) * _M2
    return h ^ (h >> np.uint64(31))
