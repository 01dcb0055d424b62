"""Checks of this machine and of the stack's processes."""

import importlib.metadata
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import psutil

from deploy.doctor.finding import Finding, fail, ok, skip, warn
from deploy.local.discovery import StackInfo

PYTHONS: Final = ((3, 11), (3, 12))
BYTEWAX: Final = "0.21.1"
DISK_FAIL_BYTES: Final = 1024**3
DISK_WARN_BYTES: Final = 5 * 1024**3
HEALTH_TIMEOUT_S: Final = 3.0
_GIB: Final = 1024**3


def check(state: Path) -> Iterator[Finding]:
    """Python, the dataflow's engine, and the disk of the state directory."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in PYTHONS:
        yield ok("python", found)
    else:
        yield fail("python", f"{found} has no wheel of bytewax {BYTEWAX}", "use Python 3.11 or 3.12")
    try:
        version = importlib.metadata.version("bytewax")
    except importlib.metadata.PackageNotFoundError:
        yield skip("bytewax", "not installed: no stream runs from this environment")
    else:
        if version == BYTEWAX:
            yield ok("bytewax", version)
        else:
            yield fail("bytewax", f"{version} is not the release that we test", f"install bytewax=={BYTEWAX}")
    yield disk("disk of the state directory", state)


def disk(name: str, path: Path) -> Finding:
    """Free space where ``path`` is, or will be."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    what = f"{free_bytes / _GIB:.1f} GiB free at {there}"
    if free_bytes < DISK_FAIL_BYTES:
        return fail(name, what, "free some: a full disk stops every commit, and gateways hold their readings")
    if free_bytes < DISK_WARN_BYTES:
        return warn(name, what, "free some, or lower SHELFPULSE_RETENTION_DAYS")
    return ok(name, what)


def check_proxies(believed: str) -> Iterator[Finding]:
    """Whom the API believes where requests come from: FORWARDED_ALLOW_IPS, where doctor has the API's environment."""
    # As uvicorn reads it: what is neither an address nor a network matches nobody, silently.
    unread = [one for one in map(str.strip, believed.split(",")) if one and not _is_network(one)]
    if believed == "*":
        what = "FORWARDED_ALLOW_IPS is *: anybody chooses the address that log-ins are limited by"
        yield warn("proxies", what, "name the addresses or networks of the proxies")
    elif unread:
        what = f"FORWARDED_ALLOW_IPS has {', '.join(unread)}: neither address nor network, so that nobody is meant"
        yield warn("proxies", what, "write them like 172.18.0.1 or 10.244.0.0/16")
    elif believed:
        yield ok("proxies", f"where requests come from is told by {believed}")


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def check_processes(stack: StackInfo) -> Iterator[Finding]:
    """Processes of a local stack: running, and well by their own word."""
    for name, pid in stack.pids.items():
        if not psutil.pid_exists(pid):
            yield fail(f"process {name}", f"pid {pid} is gone", f"see logs/{name}.log in the state directory")
        elif name not in stack.metrics:
            yield ok(f"process {name}", f"pid {pid}")
        else:
            yield _health(name, pid, stack.metrics[name])


def _health(name: str, pid: int, port: int) -> Finding:
    check = f"process {name}"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=HEALTH_TIMEOUT_S) as answer:
            answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        return fail(check, f"pid {pid} says on /healthz: {error}", f"see logs/{name}.log in the state directory")
    return ok(check, f"pid {pid}, healthy")
