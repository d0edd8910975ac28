"""Three Django views: nothing, one durable INSERT, and the whole delivery over pooled connections."""

import json
from typing import Any

import requests
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from requests.adapters import HTTPAdapter

from tests.bench.naive.models import Attempt, Event

_session = requests.Session()
_session.mount("http://", HTTPAdapter(pool_connections=4, pool_maxsize=64))
_session.headers["Authorization"] = "Bearer token"


def nothing(request: HttpRequest) -> HttpResponse:
    """Read the body and answer."""
    return HttpResponse(b"ok" if request.body else b"")


def insert(request: HttpRequest) -> HttpResponse:
    """Insert one row and commit it before the answer."""
    notice = json.loads(request.body)
    event = Event.objects.create(entity_id=notice["id"], body=request.body.decode())
    return JsonResponse({"reference": event.pk}, status=202)


def pooled(request: HttpRequest) -> HttpResponse:
    """Store, fetch, search, change and store: the same three calls as the hub makes."""
    notice = json.loads(request.body)
    event = Event.objects.create(entity_id=notice["id"], body=request.body.decode())
    person = _call("GET", f"{settings.IDENTITY_URL}/api/users/{notice['id']}")
    customers = _call("GET", f"{settings.SHOP_URL}/api/customers", params={"external_id": notice["id"]})
    customer = customers["items"][0]
    change = {name: value for name, value in wanted(person).items() if customer.get(name) != value}
    _call("PATCH", f"{settings.SHOP_URL}/api/customers/{customer['id']}", json=change)
    Attempt.objects.create(event=event, status=200, sent=change)
    return JsonResponse({"status": "succeeded", "reference": event.pk, "id": customer["id"]})


def wanted(person: dict[str, Any]) -> dict[str, Any]:
    return {
        "external_id": person["id"],
        "email": person["emails"][0]["address"].lower(),
        "first_name": person["name"]["givenName"],
        "last_name": person["name"]["familyName"],
        "phone": person["mobiles"][0]["number"],
        "language": person["locale"],
        "active": True,
    }


def _call(method: str, url: str, **arguments: Any) -> dict[str, Any]:
    answer = _session.request(method, url, timeout=10, **arguments)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document
