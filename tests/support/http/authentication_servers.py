"""Servers that check how requests are authenticated: by a session, a signed token, or a client assertion."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.http.servers import Reply, SeenRequest

USERNAME, PASSWORD = "hub", 'corr"ect hörse'
_numbers = itertools.count(1)


def entity_reply(_: SeenRequest) -> Reply:
    """Return the answer to a read of the entity a1."""
    return Reply(200, {"id": "a1"})


@dataclass
class SessionServer:
    """A system with sessions. `log_ins` counts log-ins, `sessions` holds the living ones.

    After `most_wrong` wrong passwords the user is locked out. `read_credentials` finds user name and password in a
    log-in, `give_token` makes its answer, `read_token` finds the token of a request, and `refuse` answers a request
    without a session.
    """

    log_in_path: str = "/login"
    password: str = PASSWORD
    most_wrong: int = 3
    answer: Callable[[SeenRequest], Reply] = entity_reply
    read_credentials: Callable[[SeenRequest], Any] = lambda seen: (
        seen.json()["user"],
        seen.json()["password"],
    )
    give_token: Callable[[str], Reply] = lambda token: Reply(200, {"token": token})
    read_token: Callable[[SeenRequest], str] = lambda seen: seen.headers.get(
        "authorization", ""
    ).removeprefix("Bearer ")
    refuse: Callable[[], Reply] = lambda: Reply(401)
    refuse_log_in: Callable[[], Reply] = lambda: Reply(401, {"error": "wrong password"})
    sessions: set[str] = field(default_factory=set)
    log_ins: int = 0
    wrong: int = 0

    def __call__(self, seen: SeenRequest) -> Reply:
        if seen.path == self.log_in_path:
            return self._log_in(seen)
        if self.read_token(seen) not in self.sessions:
            return self.refuse()
        return self.answer(seen)

    def expire_sessions(self) -> None:
        """End every session."""
        self.sessions.clear()

    @property
    def is_locked(self) -> bool:
        return self.wrong >= self.most_wrong

    def _log_in(self, seen: SeenRequest) -> Reply:
        self.log_ins += 1
        if self.is_locked:
            return Reply(429, {"error": "locked out"})
        if self.read_credentials(seen) != (USERNAME, self.password):
            self.wrong += 1
            return self.refuse_log_in()
        token = f"session-token-{next(_numbers):06}"
        self.sessions.add(token)
        return self.give_token(token)


def make_key(algorithm: str) -> tuple[str, Any]:
    """Return a signing key as it is entered, and the key that verifies its signatures."""
    if algorithm == "HS256":
        return "a shared secret of thirty-two bytes!", b"a shared secret of thirty-two bytes!"
    private: Any = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "PS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode(), private.public_key()


@dataclass
class SignedTokenServer:
    """A system that wants a new signed token with each request. `tokens` holds their claims and headers."""

    key: Any
    algorithm: str
    audience: str
    prefix: str = "Bearer "
    answer: Callable[[SeenRequest], Reply] = entity_reply
    tokens: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def __call__(self, seen: SeenRequest) -> Reply:
        value = seen.headers.get("authorization", "")
        try:
            token = value.removeprefix(self.prefix)
            claims = jwt.decode(
                token,
                self.key,
                algorithms=[self.algorithm],
                audience=self.audience,
                options={"require": ["exp", "iat", "jti"]},
            )
        except jwt.PyJWTError:
            return Reply(401)
        if not value.startswith(self.prefix) or claims["jti"] in [known["jti"] for known, _ in self.tokens]:
            return Reply(401)
        self.tokens.append((claims, jwt.get_unverified_header(token)))
        return self.answer(seen)


@dataclass
class AssertionServer:
    """A system with an OAuth token endpoint that accepts `private_key_jwt` alone (RFC 7523, 3)."""

    key: Any
    algorithm: str
    client_id: str
    audience: str = ""
    forms: list[dict[str, str]] = field(default_factory=list)
    assertions: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[SeenRequest], Reply] = entity_reply

    def __call__(self, seen: SeenRequest) -> Reply:
        if seen.path != "/oauth/token":
            is_known = seen.headers.get("authorization") == f"Bearer access-{len(self.assertions)}"
            return self.answer(seen) if is_known else Reply(401)
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        self.forms.append(form)
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        if form.get("client_assertion_type") != kind or "client_secret" in form:
            return Reply(401, {"error": "invalid_client"})
        try:
            claims = jwt.decode(
                form["client_assertion"],
                self.key,
                algorithms=[self.algorithm],
                audience=self.audience,
                issuer=self.client_id,
                subject=self.client_id,
                options={"require": ["exp", "iat", "jti", "iss", "sub", "aud"]},
            )
        except (KeyError, jwt.PyJWTError):
            return Reply(401, {"error": "invalid_client"})
        if claims["jti"] in [known["jti"] for known in self.assertions]:
            return Reply(401, {"error": "invalid_client"})
        self.assertions.append(claims)
        return Reply(
            200,
            {"access_token": f"access-{len(self.assertions)}", "token_type": "Bearer", "expires_in": 3600},
        )
