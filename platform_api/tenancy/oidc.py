"""OpenID Connect: asks a provider who somebody is (authorization code with PKCE; OIDC Core 1.0, RFC 7636, RFC 9700).

Knows no table. The provider's answers are believed only as far as they are signed by a key that it publishes and are
meant for us, for this very attempt, and not expired.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from threading import BoundedSemaphore, Lock
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import jwt

CALLBACK_PATH: Final = "/login/oidc/callback"
TIMEOUT_S: Final = 5.0
ANSWER_MAX_BYTES: Final = 256 * 1024
METADATA_LIFE: Final = timedelta(minutes=10)
"""How long what a provider publishes is believed: a key that it has taken back is not trusted for longer."""
CLOCK_LEEWAY: Final = timedelta(seconds=60)
TURNS_MAX: Final = 8
"""Log-ins that may wait for the provider at once: a slow provider must not hold the threads of everybody's requests."""
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the provider has. Neither ``none`` nor the symmetric ones."""
SCOPE: Final = "openid email"
TEXT_MAX_CHARS: Final = 255
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ProviderError(Exception):
    """The provider cannot be reached, or says what it must not say. The text is for the log, not for the browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider of identities, and whose: it lets in people of ``tenant_id``, whatever it says.

    ``issuer`` as its documents and tokens name it; ``client_secret`` '' for a public client; ``name`` as the button
    shows it; ``redirect_uri`` is where it sends browsers back to.
    """

    issuer: str
    client_id: str
    client_secret: str
    tenant_id: str
    name: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one log-in remembers between leaving for the provider and coming back."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says that somebody is. ``email`` is '' unless it is ASCII and said to be verified."""

    subject: str
    email: str


def new_attempt() -> Attempt:
    """An attempt that nobody can guess: 256 random bits each."""
    return Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32))


def is_protected(url: str) -> bool:
    """Whether nobody on the way can read or change what is asked there: HTTPS, or this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


class Client:
    """Talks to one provider. Threads may share it."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, headers={"Accept": "application/json"})
        self._turns = BoundedSemaphore(TURNS_MAX)
        self._lock = Lock()
        self._metadata: tuple[datetime, Mapping[str, Any]] | None = None
        self._keys: tuple[datetime, Mapping[str, Any]] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def authorization_url(self, attempt: Attempt, now: datetime) -> str:
        """Where to send the browser. Raises ProviderError."""
        challenge = hashlib.sha256(attempt.verifier.encode()).digest()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.provider.client_id,
                "redirect_uri": self.provider.redirect_uri,
                "scope": SCOPE,
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
                "code_challenge_method": "S256",
            }
        )
        with self._turn():
            endpoint = self._endpoint("authorization_endpoint", now)
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    def identify(self, code: str, attempt: Attempt, *, issuer: str | None, now: datetime) -> Identity:
        """Who came back with a code. Raises ProviderError.

        ``issuer`` is what the answer names as its author (RFC 9207), None when it does not.
        """
        with self._turn():
            says_issuer = self._published(now).get("authorization_response_iss_parameter_supported") is True
            if (says_issuer or issuer is not None) and issuer != self.provider.issuer:
                message = f"the answer is of another issuer: {issuer!r}"
                raise ProviderError(message)
            answer = self._exchange(code, attempt, now)
            claims = self._verified(str(answer.get("id_token", "")), attempt, now)
            if "email" not in claims and "access_token" in answer:
                claims = {**claims, **self._user_info(str(answer["access_token"]), str(claims["sub"]), now)}
        email = claims.get("email")
        # Logins are ASCII: another letter could become one of theirs where the database makes letters small.
        verified = claims.get("email_verified") is True and isinstance(email, str) and email.isascii()
        return Identity(str(claims["sub"]), str(email)[:TEXT_MAX_CHARS] if verified else "")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            message = f"{TURNS_MAX} log-ins wait for it already"
            raise ProviderError(message)
        try:
            yield
        finally:
            self._turns.release()

    def _exchange(self, code: str, attempt: Attempt, now: datetime) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.provider.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        methods = self._published(now).get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        # In the form where it may be: some providers do not decode what RFC 6749, section 2.3.1, encodes in the header.
        by_header = bool(self.provider.client_secret) and "client_secret_post" not in methods
        if not by_header:
            form["client_id"] = self.provider.client_id
            if self.provider.client_secret:
                form["client_secret"] = self.provider.client_secret
        named = (quote_plus(self.provider.client_id), quote_plus(self.provider.client_secret))
        auth = httpx.BasicAuth(*named) if by_header else None
        return self._ask("POST", self._endpoint("token_endpoint", now), data=form, auth=auth)

    def _verified(self, token: str, attempt: Attempt, now: datetime) -> dict[str, Any]:
        """Claims of an ID token (OIDC Core 1.0, section 3.1.3.7). Raises ProviderError."""
        try:
            try:
                claims = self._signed_claims(token, self._key_set(now))
            except (jwt.InvalidSignatureError, jwt.PyJWKSetError):
                # The provider may have changed its keys since: asked once more, and no more than that.
                claims = self._signed_claims(token, self._key_set(now, anew=True))
            expires_at, issued_at = (datetime.fromtimestamp(int(claims[name]), UTC) for name in ("exp", "iat"))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError) as error:
            message = f"its token is not valid: {type(error).__name__}: {error}"
            raise ProviderError(message) from error
        subject, audience = claims["sub"], claims["aud"]
        fault = None
        if not compare_digest(str(claims.get("nonce", "")).encode(), attempt.nonce.encode()):
            fault = "its token was made for another attempt"
        elif expires_at + CLOCK_LEEWAY <= now:
            fault = "its token has expired"
        elif issued_at - CLOCK_LEEWAY > now:
            fault = "its token is of the future"
        elif claims.get("azp", self.provider.client_id) != self.provider.client_id:
            fault = "its token was issued to another client"
        elif isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
            fault = "its token is for several, and does not say to whom it was issued"
        elif not isinstance(subject, str) or not 0 < len(subject) <= TEXT_MAX_CHARS or not subject.isprintable():
            fault = "its token names nobody"
        if fault is not None:
            raise ProviderError(fault)
        return claims

    def _signed_claims(self, token: str, keys: Mapping[str, Any]) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        usable = [key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys if key.public_key_use in {None, "sig"}]
        if "kid" in header:
            usable = [key for key in usable if key.key_id == header["kid"]]
        if len(usable) != 1 or header.get("alg") not in ALGORITHMS:
            message = "no key of the provider's fits"
            raise jwt.PyJWKSetError(message)
        claims: dict[str, Any] = jwt.decode(
            token,
            usable[0],
            algorithms=[str(header["alg"])],
            audience=self.provider.client_id,
            issuer=self.provider.issuer,
            # Times are judged by the caller against the given time, not against the library's clock.
            options={
                "require": ["iss", "sub", "aud", "exp", "iat"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "verify_sub": False,
            },
        )
        return claims

    def _user_info(self, access_token: str, subject: str, now: datetime) -> Mapping[str, Any]:
        if "userinfo_endpoint" not in self._published(now):
            return {}
        endpoint = self._endpoint("userinfo_endpoint", now)
        found = self._ask("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        if found.get("sub") != subject:
            message = "it tells of another person than its token does"
            raise ProviderError(message)
        return {name: found[name] for name in ("email", "email_verified") if name in found}

    def _endpoint(self, name: str, now: datetime) -> str:
        url = str(self._published(now).get(name, ""))
        if not is_protected(url):
            message = f"its {name} is not HTTPS: {url!r}"
            raise ProviderError(message)
        return url

    def _published(self, now: datetime) -> Mapping[str, Any]:
        """The provider's metadata (OIDC Discovery 1.0, section 4)."""
        with self._lock:
            if self._metadata is None or self._metadata[0] + METADATA_LIFE <= now:
                issuer = self.provider.issuer
                found = self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer:
                    message = f"it calls itself {found.get('issuer')!r}, not {issuer!r}"
                    raise ProviderError(message)
                self._metadata = now, found
            return self._metadata[1]

    def _key_set(self, now: datetime, *, anew: bool = False) -> Mapping[str, Any]:
        url = self._endpoint("jwks_uri", now)
        with self._lock:
            if anew or self._keys is None or self._keys[0] + METADATA_LIFE <= now:
                self._keys = now, self._ask("GET", url)
            return self._keys[1]

    def _ask(
        self,
        method: str,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.BasicAuth | None = None,
    ) -> Mapping[str, Any]:
        """The JSON object that an address answers with. Raises ProviderError."""
        try:
            with self._http.stream(method, url, data=data, headers=headers, auth=auth) as answer:
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > ANSWER_MAX_BYTES:
                        message = f"{url} answers with more than {ANSWER_MAX_BYTES} bytes"
                        raise ProviderError(message)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"{url} cannot be reached: {type(error).__name__}"
            raise ProviderError(message) from error
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not answer.is_success or not isinstance(found, dict):
            reason = found.get("error", "") if isinstance(found, dict) else "no JSON object"
            message = f"{url} answers {answer.status_code} {str(reason)[:TEXT_MAX_CHARS]}"
            raise ProviderError(message)
        return found
