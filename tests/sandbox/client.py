"""A client that a test calls as a user of the API or of a browser would."""

from typing import Any

import requests


class Client:
    """Calls one origin; ``token`` goes along as bearer token, None for none."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, self.session = url, requests.Session()
        self.session.trust_env = False
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, json: Any = None, **more: Any) -> requests.Response:
        more.setdefault("timeout", 60)
        more.setdefault("allow_redirects", False)
        return self.session.request(method, self.url + path, json=json, **more)
