"""A system that takes a write only with a CSRF token and with the cookies that it set together with the token."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.http.servers import Reply, SeenRequest

USER, PASSWORD = "_HUB", "s3cret-password"


@dataclass
class CsrfGateway:
    """Records behind an OData gateway as SAP documents it. `tokens`: the living tokens, each with its cookie.
    `is_stubborn`: no token is ever good enough. `inner` answers a request that is authenticated, in place of the
    records here.
    """

    password: str = PASSWORD
    inner: Callable[[SeenRequest], Reply] | None = None
    is_stubborn: bool = False
    fetches: int = 0
    tokens: dict[str, str] = field(default_factory=dict)
    live: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        pair = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if seen.headers.get("authorization") != f"Basic {pair}":
            return Reply(401, raw=b"<html>Anmeldung fehlgeschlagen</html>")
        if seen.method != "GET" and not self.is_valid(seen):
            refused = {
                "error": {
                    "code": "005056A509B11EE1B9A8FEC11C21578E",
                    "message": "CSRF token validation failed",
                }
            }
            return Reply(403, refused, {"X-CSRF-Token": "Required"})
        headers = self.give_token() if seen.headers.get("x-csrf-token") == "Fetch" else {}
        reply = (self.inner or self.serve)(seen)
        return replace(reply, headers=headers)

    def serve(self, seen: SeenRequest) -> Reply:
        """Answer a request that is authenticated."""
        if seen.method == "POST":
            key = str(len(self.live) + 1)
            self.live[key] = {"id": key, **seen.json()}
            return Reply(201, self.live[key])
        key = seen.path.rpartition("/")[2]
        return Reply(200, self.live.get(key, {"d": {"EntitySets": []}}))

    def is_valid(self, seen: SeenRequest) -> bool:
        cookie = self.tokens.get(seen.headers.get("x-csrf-token", ""))
        return not self.is_stubborn and cookie is not None and cookie in seen.headers.get("cookie", "")

    def give_token(self) -> dict[str, str]:
        """Return the headers of an answer that has a new token."""
        self.fetches += 1
        token, cookie = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
        self.tokens[token] = f"sap-XSRF_ABC={cookie}"
        joined = f"sap-usercontext=sap-client=100; path=/, sap-XSRF_ABC={cookie}; path=/; secure; HttpOnly"
        return {"X-CSRF-Token": token, "Set-Cookie": joined}
