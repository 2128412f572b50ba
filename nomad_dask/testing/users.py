"""Logins of the embedded archive: passwords and signed access tokens."""

import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from nomad_dask.testing.refused import Refused

BAD_TOKEN = "Could not validate credentials. The given token is invalid."


class Users:
    """Issues and checks access tokens, which are signed and not stored."""

    def __init__(
        self,
        passwords: Mapping[str, str],
        *,
        token_seconds: float = 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._passwords = passwords
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self.token_seconds = token_seconds
        """Lifetime of new tokens. Can be set at any time."""

    def login(self, username: Any, password: Any) -> dict[str, Any]:
        """Return the answer to a login. Raises `Refused` 401 for a wrong password."""
        known = self._passwords.get(username) if isinstance(username, str) else None
        given = str(password).encode()
        if known is None or not hmac.compare_digest(known.encode(), given):
            raise Refused(401, "Incorrect username or password")
        return {
            "access_token": self.token(username),
            "token_type": "Bearer",
            "expires_in": int(self.token_seconds),
            "refresh_token": secrets.token_urlsafe(24),
            "scope": "openid profile email",
            "id_token": None,
            "refresh_expires_in": 86400,
        }

    def token(self, username: str) -> str:
        """Return an access token of a user."""
        payload = f"{username}\n{self._clock() + self.token_seconds}\n{secrets.token_hex(4)}".encode()
        return f"{urlsafe_b64encode(payload).decode()}.{self._sign(payload)}"

    def who(self, authorization: str | None) -> str | None:
        """Return the user of an Authorization header; None without one.

        Raises `Refused` 401 if it is invalid.
        """
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        body, _, signature = token.strip().partition(".")
        try:
            payload = urlsafe_b64decode(body)
            user, until, _ = payload.decode().split("\n")
        except ValueError:
            raise Refused(401, BAD_TOKEN) from None
        is_signed = hmac.compare_digest(signature.encode(), self._sign(payload).encode())
        if scheme.lower() != "bearer" or not is_signed or self._clock() >= float(until):
            raise Refused(401, BAD_TOKEN)
        return user

    def _sign(self, payload: bytes) -> str:
        return hmac.new(self._secret, payload, sha256).hexdigest()
