"""A small JSON client for the demonstration: any failure becomes one sentence."""

from typing import Any

import requests

ANSWER_SECONDS = 45
"""Above the identity service's own wait for the hub (35 s)."""


class DemoError(Exception):
    """Ends the demonstration; its text is a sentence for the person who started it."""


class Remote:
    """One running service. Environment proxies and netrc are not used."""

    def __init__(self, title: str, url: str, token: str = "") -> None:
        self.title, self.url, self._token = title, url.rstrip("/"), token

    def status(self, path: str) -> int | None:
        """The status that GET gets within 2 s, None without an answer."""
        try:
            return self._send("GET", path, None, 2).status_code
        except requests.RequestException:
            return None

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON.

        Raises DemoError where there is no answer, a status of 400 or above, or a body that is not JSON.
        """
        try:
            answer = self._send(method, path, body, ANSWER_SECONDS)
            content = answer.json() if answer.content else None
        except requests.JSONDecodeError:
            raise DemoError(
                f"{self.title} responded to {method} {path} with a body that is not JSON."
            ) from None
        except requests.RequestException:
            raise DemoError(f"{self.title} did not respond to {method} {path} at {self.url}.") from None
        if answer.status_code >= 400:
            raise DemoError(f"{self.title} responded to {method} {path} with {answer.status_code}: {content}")
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
