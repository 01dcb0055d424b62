"""What processes used of the machine, from the kernel's accounts."""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import psutil


class Usage(NamedTuple):
    """CPU seconds so far: of each process with its children, and of everything on the machine."""

    cpu_s: dict[str, float]
    machine_s: float

    @classmethod
    def take(cls, pids: Mapping[str, int]) -> Self:
        """Read the accounts of the named processes, and of our own as ``bench``."""
        processes = {name: psutil.Process(pid) for name, pid in pids.items()} | {"bench": psutil.Process()}
        times = psutil.cpu_times()
        # Only the bench's own time: the others are started by it, so they are its children.
        cpu_s = {name: _family_s(process) for name, process in processes.items() if name != "bench"}
        own = processes["bench"].cpu_times()
        return cls(cpu_s | {"bench": own.user + own.system}, sum(times) - times.idle - times.iowait)

    def since(self, before: "Usage") -> "Usage":
        """What was used between two readings."""
        cpu_s = {name: round(after_s - before.cpu_s[name], 2) for name, after_s in self.cpu_s.items()}
        return Usage(cpu_s, self.machine_s - before.machine_s)


def rss_peak_bytes(pid: int) -> int:
    """Most memory that a process and its children ever had."""
    process = psutil.Process(pid)
    return sum(_high_water_bytes(member.pid) for member in (process, *process.children(recursive=True)))


def describe_machine() -> str:
    """Cores, their model, and memory."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory_gib = psutil.virtual_memory().total / 1024**3
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}, {memory_gib:.0f} GiB"


def _family_s(process: psutil.Process) -> float:
    # Children that have ended are in their parent's account of what it waited for.
    used_s = 0.0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended since it was listed
            times = member.cpu_times()
            used_s += times.user + times.system + times.children_user + times.children_system
    return used_s


def _high_water_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
