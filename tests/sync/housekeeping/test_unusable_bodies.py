"""Bodies of unusable requests are deleted after 7 days, and with an erasure of whom they name."""

import base64
import json
from datetime import timedelta

from django.conf import settings
from django.utils.module_loading import import_string

from database.clock import read_clock
from sync.housekeeping.retention_rules import prune_expired
from tests.support.hub import ANNA, Hub
from webhooks.models import Payload, Receipt


def refused(hub: Hub, body: bytes) -> Receipt:
    assert hub.post(body).status_code == 400
    return Receipt.objects.order_by("-pk").select_related("payload")[0]


def test_a_body_that_could_not_be_read_is_deleted_after_7_days(hub: Hub) -> None:
    old, recent = refused(hub, b'{"id": "old"'), refused(hub, b'{"id": "recent"')
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    accepted = Receipt.objects.exclude(event=None).get()
    long_ago = read_clock() - timedelta(days=7, hours=1)
    Receipt.objects.filter(pk__in=[old.pk, accepted.pk]).update(received_at=long_ago)
    Receipt.objects.filter(pk=recent.pk).update(received_at=long_ago + timedelta(hours=2))
    prune_expired()
    kept = set(Payload.objects.values_list("pk", flat=True))
    assert old.payload_id not in kept
    assert {recent.payload_id, accepted.payload_id} <= kept
    assert Receipt.objects.get(pk=old.pk).payload_id is None


WRITTEN = [
    ("J\u00fcrgen", '{"person": "J\u00fcrgen"'.encode()),
    ("J\u00fcrgen", json.dumps({"person": "J\u00fcrgen"}).encode()),
    ("group/4711", b'{"person": "group\\/4711"'),
    ("P-4711", b'{"person": "\\u0050-4711"'),
    ("J\u00fcrgen@example.com", b"person=J%C3%BCrgen%40example.com"),
    ("J\u00fcrgen", '{"person": "J\u00fcrgen"}'.encode("latin-1")),
    ("P-4711", '{"person": "P-4711"}'.encode("utf-16-be")),
    ("P-4711", b'{"data":"' + base64.b64encode(b'{"person": "P\\u002d4711"}') + b'"'),
    ("P-4711", b"e30." + base64.urlsafe_b64encode(b'{"sub": "P-4711"}').rstrip(b"=") + b".c2ln"),
]


def test_an_erasure_finds_the_id_however_the_sender_wrote_it(hub: Hub) -> None:
    erase = import_string(settings.FURTHER_ERASERS["unusable"])
    for name, body in WRITTEN:
        row = refused(hub, body)
        assert erase("\u65e5\u672c", "pseudonym") == 0
        assert (erase(name, "pseudonym"), erase(name, "pseudonym")) == (1, 0), body
        assert not Payload.objects.filter(pk=row.payload_id).exists()
