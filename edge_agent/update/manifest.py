"""What a signed manifest says, and whether this gateway may follow it. Pure."""

import re
import sys
import sysconfig
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from edge_agent.update.errors import UpdateError

FORMAT: Final = 1
PRODUCT: Final = "shelfpulse-edge"
ARCHIVE_MAX_BYTES: Final = 256 * 1024 * 1024
UNPACKED_MAX_BYTES: Final = 1024 * 1024 * 1024
VERSION_PATTERN: Final = r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\Z"
"""Three numbers: what is shipped to gateways has no development or local versions."""

CLOCK_SKEW: Final = timedelta(hours=1)

Version = Annotated[str, msgspec.Meta(pattern=VERSION_PATTERN)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release for one platform. An unknown field is refused: it may be a condition that this agent cannot keep.

    ``url`` of the archive, relative to the manifest's or absolute; ``size`` its bytes, ``unpacked`` those of its
    files; ``requires`` the least version that may be updated from; ``downgrade`` allows a version below the running
    one.
    """

    format: int
    product: str
    version: Version
    platform: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Annotated[int, msgspec.Meta(ge=1, le=ARCHIVE_MAX_BYTES)]
    unpacked: Annotated[int, msgspec.Meta(ge=1, le=UNPACKED_MAX_BYTES)]
    requires: Version
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    expires: Annotated[datetime, msgspec.Meta(tz=True)]
    downgrade: bool = False


class Running(msgspec.Struct, frozen=True):
    """What runs here. ``newest`` is when the newest manifest whose release was kept was made, None before the first."""

    version: str
    platform: str
    newest: datetime | None


def decode(body: bytes) -> Manifest:
    """Parse a manifest whose signature is known to be good. Raises UpdateError."""
    try:
        return msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        msg = f"the manifest cannot be read: {error}"
        raise UpdateError(msg) from error


def check(manifest: Manifest, running: Running, now: datetime) -> None:
    """Raises UpdateError when the manifest is not for this gateway, or not for now."""
    if manifest.format != FORMAT or manifest.product != PRODUCT:
        msg = f"the manifest is for {manifest.product!r} in format {manifest.format}, not {PRODUCT!r} in {FORMAT}"
        raise UpdateError(msg)
    if manifest.platform != running.platform:
        msg = f"the release is for {manifest.platform}, this gateway is {running.platform}"
        raise UpdateError(msg)
    if now >= manifest.expires:
        msg = f"the manifest expired at {manifest.expires:%Y-%m-%d %H:%M} UTC"
        raise UpdateError(msg)
    if manifest.created > now + CLOCK_SKEW:
        # A clock that stands in the past would never see a manifest expire.
        msg = f"the manifest was made at {manifest.created:%Y-%m-%d %H:%M} UTC: this gateway's clock is behind"
        raise UpdateError(msg)
    _check_order(manifest, running)


def _check_order(manifest: Manifest, running: Running) -> None:
    wanted, have = numbers(manifest.version), numbers(running.version)
    if wanted == have:
        msg = f"{manifest.version} runs already"
        raise UpdateError(msg)
    if wanted < have and not manifest.downgrade:
        msg = f"{manifest.version} is older than {running.version}, which runs"
        raise UpdateError(msg)
    if have < numbers(manifest.requires):
        msg = f"{manifest.version} can be installed over {manifest.requires} and later, not over {running.version}"
        raise UpdateError(msg)
    if running.newest is None:
        return
    # A downgrade that was followed once must not send the gateway back again and again.
    if manifest.created < running.newest or (wanted < have and manifest.created == running.newest):
        msg = f"the manifest is of {manifest.created:%Y-%m-%d %H:%M:%S}, a newer one was followed before"
        raise UpdateError(msg)


def numbers(version: str) -> tuple[int, ...]:
    """A version to compare. Raises UpdateError when it is not three numbers."""
    if re.fullmatch(VERSION_PATTERN, version) is None:
        msg = f"{version!r} is not a version of three numbers"
        raise UpdateError(msg)
    return tuple(int(part) for part in version.split("."))


def platform_tag() -> str:
    """What the compiled parts of a release must fit: interpreter, system and processor, as in cp312-linux_x86_64."""
    system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"cp{sys.version_info.major}{sys.version_info.minor}-{system}"
