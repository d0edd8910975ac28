"""A JSON client for the demonstration. Its errors have a message for the person who started it."""

from typing import Any

import requests

RESPONSE_SECONDS = 45
"""Longer than the identity service waits for the hub (35 s)."""


class DemoError(Exception):
    """A failure that ends the demonstration, with a message for the person who started it."""


class RemoteService:
    """A running service. Proxies of the environment and netrc are not used."""

    def __init__(self, title: str, url: str, token: str = "") -> None:
        self.title, self.url, self._token = title, url.rstrip("/"), token

    def fetch_status(self, path: str) -> int | None:
        """Return the status of a GET request; None without a response within 2 seconds."""
        try:
            return self._send("GET", path, None, 2).status_code
        except requests.RequestException:
            return None

    def call_api(self, method: str, path: str, body: object = None) -> Any:
        """Return the parsed body of the response; None if it is empty.

        Raises DemoError if there is no response, a status of 400 or above, or a body that is not JSON.
        """
        try:
            response = self._send(method, path, body, RESPONSE_SECONDS)
            content = response.json() if response.content else None
        except requests.JSONDecodeError:
            raise DemoError(
                f"{self.title} responded to {method} {path} with a body that is not JSON."
            ) from None
        except requests.RequestException:
            raise DemoError(f"{self.title} did not respond to {method} {path} at {self.url}.") from None
        if response.status_code >= 400:
            raise DemoError(
                f"{self.title} responded to {method} {path} with {response.status_code}: {content}"
            )
        return content

    def _send(self, method: str, path: str, body: object, seconds: float) -> requests.Response:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self.url + path, json=body, headers=headers, timeout=seconds, allow_redirects=False
            )
