"""Redeems a claim code: the gateway's name and its first secret, from the platform's API into files.

The secret is written by nobody else, to a file that only its owner can read, and never printed or logged.
"""

import json
import os
import re
import ssl
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from contracts.errors import UserError
from contracts.provision import CODE_PATTERN, REDEEM_MAX_BYTES, REDEEM_PATH, Provision, Redeem
from edge_agent.clock import BUILT_MS
from edge_agent.remote.identity import machine_hash
from edge_agent.settings import is_loopback, parse_broker

SECRET_FILE: Final = "broker.secret"  # noqa: S105 - the name of a file
CA_FILE: Final = "ca.pem"
UPDATE_KEY_FILE: Final = "update.pub"
STATE_DIRECTORY: Final = "/var/lib/shelfpulse"
TIMEOUT_S: Final = 20.0
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_UNLIKE: Final = str.maketrans("ILO", "110")
"""Crockford's base 32 has none of these: who types them means the digit."""
_BROKER_HEADER: Final = re.compile(r"^\[broker\][ \t]*(#.*)?$", re.MULTILINE)
_ANY_HEADER: Final = re.compile(r"^\[", re.MULTILINE)


@dataclass(frozen=True)
class Claimed:
    """Who the gateway is now, and the files that were written. No secret in it."""

    tenant: str
    site: str
    gateway: str
    broker: str
    files: list[Path]

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return self.__dict__ | {"files": [str(file) for file in self.files]}


def claim(
    code: str, *, api: str, config: Path, ca_file: Path | None, agent: str, confirm: Callable[[str], bool]
) -> Claimed:
    """Redeem ``code`` and write ``config`` and the files beside it. Raises UserError.

    An existing configuration keeps all but its ``[broker]`` table, once ``confirm`` agrees. Everything that can be
    wrong here is found before the code is used up.
    """
    code = tidy_code(code)
    url = _redeem_url(api)
    context = _tls(ca_file)
    before = _read_config(config)
    _check_writable(config.parent)
    if before is not None and not confirm(f"replace the [broker] table of {config}?"):
        msg = f"{config} is left as it is, and the code is not used"
        raise UserError(msg)
    provision = redeem(url, code, agent, context)
    text = configuration(before, provision, config)
    return _write(config, text, provision)


def tidy_code(code: str) -> str:
    """A code as people type it, in the form that the platform knows. Raises UserError."""
    letters = re.sub(r"[\s-]", "", code.upper()).translate(_UNLIKE)
    tidy = "-".join(letters[k : k + 5] for k in range(0, len(letters), 5))
    if re.fullmatch(CODE_PATTERN, tidy) is None:
        msg = "that is no claim code"
        raise UserError(msg, "it has four groups of five letters and digits, as in 7KZ3M-…")
    return tidy


def _redeem_url(api: str) -> str:
    parts = urlsplit(api)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username is not None:
        msg = f"--api {api}: not https://host[:port]"
        raise UserError(msg)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        msg = f"--api {api}: the secret would come in the clear"
        raise UserError(msg, "use https://")
    return api.rstrip("/") + REDEEM_PATH


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        msg = f"--ca {ca_file}: no certificates can be read from it: {error}"
        raise UserError(msg) from error


def _read_config(config: Path) -> str | None:
    try:
        text = config.read_text(encoding="utf-8")
        tomllib.loads(text)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{config} is there, but cannot be read: {error}"
        raise UserError(msg) from error
    return text


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        msg = f"cannot write to {folder}: {error.strerror}"
        raise UserError(msg, "the code is not used yet") from error


# ---------------------------------------------------------------------- the platform


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The code goes to the address that was given, and to no other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """None: the redirect is an error."""


def redeem(url: str, code: str, agent: str, context: ssl.SSLContext) -> Provision:
    """Ask the platform. Raises UserError."""
    body = msgspec.json.encode(Redeem(code, machine_hash(), agent))
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310 - checked
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return _provision(answer, url)
    except urllib.error.HTTPError as error:
        _refused(error, url)
    except urllib.error.URLError as error:
        _unreachable(error.reason, url)
    except (OSError, HTTPException) as error:
        _unreachable(error, url)


def _provision(answer: HTTPResponse, url: str) -> Provision:
    payload = answer.read(REDEEM_MAX_BYTES + 1)
    try:
        if len(payload) > REDEEM_MAX_BYTES:
            msg = f"over {REDEEM_MAX_BYTES} bytes"
            raise ValueError(msg)
        provision = msgspec.json.decode(payload, type=Provision)
        broker = parse_broker(provision.broker_url, "broker_url")
        if not broker.tls and not is_loopback(broker.host):
            msg = "its broker would hear the secret in the clear"
            raise ValueError(msg)
    except (msgspec.MsgspecError, UserError, ValueError) as error:
        msg = f"{url} answers, but not as this agent expects: {error}"
        raise UserError(msg, "is it the platform's API, and as new as this agent?") from error
    return provision


def _refused(error: urllib.error.HTTPError, url: str) -> NoReturn:
    hint = "ask for a new code" if error.code in {403, 409, 410} else ""
    if error.code in {301, 302, 303, 307, 308}:
        msg = f"{url} points elsewhere ({error.headers.get('Location', '?')[:200]})"
        raise UserError(msg, "give --api the address that it ends at") from error
    msg = f"the platform does not take the code: {_detail(error)}"
    raise UserError(msg, hint) from error


def _detail(error: urllib.error.HTTPError) -> str:
    """What RFC 9457 problem details say, in one line."""
    try:
        problem = json.loads(error.read(REDEEM_MAX_BYTES))
        text = str(problem.get("detail") or problem["title"])
    except (OSError, ValueError, AttributeError, KeyError, HTTPException):
        text = str(error.reason)
    return f"{' '.join(text.split())[:300]} ({error.code})"


def _unreachable(reason: object, url: str) -> NoReturn:
    if isinstance(reason, ssl.SSLCertVerificationError):
        if reason.verify_code in {_NOT_YET_VALID, _EXPIRED}:
            now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
            wrong = ", which is wrong" if time.time() * 1000 < BUILT_MS else ""
            msg = f"{url}: {reason.verify_message} by this gateway's clock (it says {now}{wrong})"
            raise UserError(msg, "set the clock (timedatectl), and try again") from reason
        msg = f"{url}: its certificate is not believed: {reason.verify_message}"
        raise UserError(msg, "name the platform's authority with --ca FILE") from reason
    msg = f"cannot reach {url}: {reason}"
    raise UserError(msg, "try again: an answer that was lost can be had again for ten minutes, on this machine")


# ---------------------------------------------------------------------- the files


def configuration(before: str | None, provision: Provision, config: Path) -> str:
    """Text of ``edge.toml``: a new one, or the one before with another ``[broker]``. Raises UserError."""
    wanted = _broker_table(provision)
    section = "[broker]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in wanted.items())
    identity = {"tenant": provision.tenant, "site": provision.site, "gateway": provision.gateway}
    if before is None:
        names = "".join(f'{key} = "{value}"\n' for key, value in identity.items())
        head = "# Written by shelfpulse edge claim. Buses and devices come from the platform, or stand here.\n"
        return f"{head}{names}\n{section}{_outbox_table(config)}"
    tables = tomllib.loads(before)
    for key, value in identity.items():
        if tables.get(key) != value:
            msg = f"{config}: it is of {key} {tables.get(key)!r}, and the code is for {value!r}"
            raise UserError(
                msg, "claim again within ten minutes with another --config; the code holds for this machine"
            )
    after = _with_broker(before, section)
    if tomllib.loads(after) != tables | {"broker": wanted}:
        msg = f"{config}: its broker cannot be replaced without touching the rest"
        raise UserError(msg, "write it as one [broker] table, and claim again within ten minutes")
    return after


def _broker_table(provision: Provision) -> dict[str, str]:
    scheme, _, rest = provision.broker_url.partition("://")
    table = {"url": f"{scheme}://{quote(provision.username, safe='')}@{rest}", "password_file": SECRET_FILE}
    if provision.ca_pem:
        table["ca_file"] = CA_FILE
    return table


def _outbox_table(config: Path) -> str:
    """Below /etc nothing can be written by the service: its state lies where systemd keeps it."""
    if not config.absolute().is_relative_to("/etc"):
        return ""
    return f'\n[outbox]\npath = "{STATE_DIRECTORY}/outbox.db"\n'


def _with_broker(text: str, section: str) -> str:
    header = _BROKER_HEADER.search(text)
    if header is None:
        return f"{text.rstrip()}\n\n{section}"
    following = _ANY_HEADER.search(text, header.end())
    rest = "" if following is None else f"\n{text[following.start() :]}"
    return text[: header.start()] + section + rest


def _write(config: Path, text: str, provision: Provision) -> Claimed:
    files = [config.with_name(SECRET_FILE)]
    try:
        # The secret first: with it, everything else can be made again.
        _write_atomically(files[0], f"{provision.secret}\n", 0o600)
        for name, content in ((CA_FILE, provision.ca_pem), (UPDATE_KEY_FILE, provision.update_key)):
            if content:
                files.append(config.with_name(name))
                _write_atomically(files[-1], content, 0o644)
        _write_atomically(config, text, 0o644)
    except OSError as error:
        msg = f"cannot write beside {config}: {error.strerror}"
        raise UserError(msg, "claim again within ten minutes; the code holds for this machine") from error
    return Claimed(provision.tenant, provision.site, provision.gateway, provision.broker_url, [*files, config])


def _write_atomically(file: Path, text: str, mode: int) -> None:
    """Whole or not at all, on the disk; it belongs to whom the folder belongs, since the agent may run as another."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as writing:
            writing.write(text)
            writing.flush()
            os.fchmod(writing.fileno(), mode)
            owner = file.parent.stat()
            if os.geteuid() == 0:
                os.fchown(writing.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(writing.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
