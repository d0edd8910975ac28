"""Senders authenticate with each scheme, rightly and nearly rightly, and mix their secret into what they send. Neither the
secret of a source nor what was offered in its place is found in a log line, a column, an answer or a page.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

import jwt
import pytest
from django.test import Client

from tests.faults.leaks import outlets
from tests.faults.leaks.situations import make_canaries
from tests.support.hub import EXAMPLE, Hub
from tests.support.leaks.echoed_forms import readable_secrets
from webhooks.models import Event, Source, SourceSecret

pytestmark = [pytest.mark.faults, pytest.mark.nightly]

SETTINGS: Mapping[str, dict[str, str]] = {
    "standard-webhooks": {},
    "hmac": {"header": "X-Signature", "algorithm": "sha512"},
    "jwt": {"algorithm": "HS256", "header": "Authorization"},
    "body-secret": {"field": "clientState"},
    "bearer": {},
    "basic": {},
    "header": {"header": "X-Secret"},
}
# Of their own: the log masks those that another test of this process gave a connection.
SECRETS = make_canaries(seed=7)


def headers_of(scheme: str, secret: str, number: int) -> dict[str, str]:
    """Return the headers with which a sender that has this secret authenticates."""
    at = str(int(time.time()))

    match scheme:
        case "standard-webhooks":
            key = base64.b64decode(secret.removeprefix("whsec_"))
            content = b".".join([f"m{number}".encode(), at.encode(), EXAMPLE])
            signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
            return {
                "webhook-id": f"m{number}",
                "webhook-timestamp": at,
                "webhook-signature": f"v1,{signature}",
            }
        case "hmac":
            return {"X-Signature": hmac.digest(secret.encode(), EXAMPLE, "sha512").hex()}
        case "jwt":
            return {"Authorization": f"Bearer {jwt.encode({'iss': 'me'}, secret, 'HS256')}"}
        case "body-secret":
            return {}
        case "bearer":
            return {"Authorization": f"Bearer {secret}"}
        case "basic":
            return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    return {"X-Secret": secret}


def secrets_of(scheme: str, number: int) -> tuple[str, str]:
    """Return the secret of a source, and one of the same form that is not."""
    right, wrong = SECRETS[2 * number], SECRETS[2 * number + 1]
    if scheme == "standard-webhooks":
        return tuple(
            f"whsec_{base64.b64encode(one.encode().ljust(32)[:32]).decode()}" for one in (right, wrong)
        )
    if scheme == "basic":
        return f"sender:{right}", f"sender:{wrong}"
    if scheme == "jwt":
        return right.ljust(32, "r"), wrong.ljust(32, "w")
    return right, wrong


def body_of(scheme: str, secret: str) -> bytes:
    """Return the body that a sender with this secret sends."""
    if scheme != "body-secret":
        return EXAMPLE
    return json.dumps(json.loads(EXAMPLE) | {"clientState": secret, "note": f"state={secret}"}).encode()


def requests_of(scheme: str, right: str, wrong: str) -> list[tuple[dict[str, str], bytes, int]]:
    """Return headers and bodies of requests, each with the status of its answer."""
    accepted = headers_of(scheme, right, 1)
    mixed = {
        "X-Debug": right,
        "Cookie": f"s={right}",
        "User-Agent": right,
        "X-Request-Id": right,
        "Referer": right,
    }
    return [
        (accepted, body_of(scheme, right), 200),
        (headers_of(scheme, wrong, 2), body_of(scheme, wrong), 401),
        ({name: f"{value} {right}" for name, value in accepted.items()}, body_of(scheme, f"{right} "), 401),
        ({"Authorization": f"Other {right}", **mixed}, body_of(scheme, wrong), 401),
        (headers_of(scheme, right, 3) | mixed, body_of(scheme, right), 200),
    ]


def run_scheme(hub: Hub, scheme: str) -> list[tuple[str, str]]:
    """Send all requests of a scheme to a source of its own secret. Returns each secret that was found, with its place."""
    right, wrong = secrets_of(scheme, list(SETTINGS).index(scheme))
    source = Source.objects.get(slug="aurora-unsigned")
    source.scheme, source.scheme_settings = scheme, SETTINGS[scheme]
    source.save()
    SourceSecret.objects.create(source=source, value=right, hint="")
    people = outlets.log_in()
    # The characters of both that are no scheme's or user's.
    wanted = [one.removeprefix("whsec_").removeprefix("sender:") for one in (right, wrong)]
    texts: dict[str, list[str]] = {"answer": [], "page": []}
    with outlets.collected_lines() as lines:
        for headers, body, status in requests_of(scheme, right, wrong):
            answer = hub.post(body, **headers)
            assert answer.status_code == status, answer.content
            texts["answer"] += outlets.texts_of_answer(answer)
        hub.wait_until_quiet()
        for client in people.values():
            texts["page"] += _texts_of_pages(client, source)
    texts |= {"log": lines, "rows": list(outlets.stored_texts())}
    assert Event.objects.count() == 2
    return [
        (place, found) for place, one in texts.items() for found in readable_secrets("\n".join(one), wanted)
    ]


@pytest.mark.one_database
@pytest.mark.parametrize("scheme", SETTINGS)
def test_no_secret_of_a_source_is_found_outside_its_column(hub: Hub, scheme: str) -> None:
    assert run_scheme(hub, scheme) == []


def _texts_of_pages(client: Client, source: Source) -> list[str]:
    pages = [f"/admin/webhooks/source/{source.pk}/change/", "/admin/webhooks/source/", "/admin/"]
    own = [client.get(path).content.decode("utf-8", "replace") for path in pages]
    return [
        *own,
        *outlets.texts_of_lists(client),
        *outlets.texts_of_event(client, Event.objects.latest("pk")),
    ]
