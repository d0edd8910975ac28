"""A delivery as a plain DRF view: a serializer, the ORM, and `requests` without a session."""

import json
from typing import Any

import requests
from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.bench.naive.models import Attempt, Event
from tests.bench.naive.views import wanted

_HEADERS = {"Authorization": "Bearer token"}


class WebhookSerializer(serializers.Serializer[Any]):
    """The fields of a webhook."""

    id = serializers.CharField(max_length=128)
    entityType = serializers.ChoiceField(["USER", "GROUP", "FILE"])  # noqa: N815 - the field is named so
    eventType = serializers.ChoiceField(["CREATE", "UPDATE", "DELETE"])  # noqa: N815 - the field is named so
    timestamp = serializers.DateTimeField()


class PlainView(APIView):
    """A view that stores, fetches, searches, changes and stores: the same three calls as the hub makes."""

    def post(self, request: Request) -> Response:
        serializer = WebhookSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        entity_id = serializer.validated_data["id"]
        event = Event.objects.create(entity_id=entity_id, body=json.dumps(request.data))
        person = _get(f"{settings.IDENTITY_URL}/api/users/{entity_id}")
        customer = _get(f"{settings.SHOP_URL}/api/customers", external_id=entity_id)["items"][0]
        change = {name: value for name, value in wanted(person).items() if customer.get(name) != value}
        url = f"{settings.SHOP_URL}/api/customers/{customer['id']}"
        answer = requests.put(url, json=change, headers=_HEADERS, timeout=10)
        answer.raise_for_status()
        Attempt.objects.create(event=event, status=answer.status_code, sent=change)
        return Response({"status": "succeeded", "reference": event.pk, "id": customer["id"]})


def _get(url: str, **parameters: str) -> dict[str, Any]:
    answer = requests.get(url, params=parameters, headers=_HEADERS, timeout=10)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document
