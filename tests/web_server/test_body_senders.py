"""Who may send a large body, as the database says: the server asks before it reads one."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integration_hub.web_server.large_bodies import may_send_large_body
from integration_hub.web_server.request_reader import BodySender
from webhooks.models import Source

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def may_send(path: str, cookies: str = "") -> bool:
    return may_send_large_body(BodySender("192.0.2.1", path, cookies))


def test_a_person_may_send_a_long_form_while_logged_in(client: Client) -> None:
    client.force_login(User.objects.create(username="mari"))
    cookies = f"csrftoken=x; sessionid={client.cookies['sessionid'].value}"
    assert may_send("/admin/sync/route/1/change/", cookies)
    client.logout()
    assert not may_send("/admin/sync/route/1/change/", cookies)
    # A session without a person: whoever opens the login page can have one.
    session = client.session
    session["next"] = "/"
    session.save()
    for other in (f"sessionid={session.session_key}", "sessionid=", "sessionid=\0", "a=b", 'x="', ""):
        assert not may_send("/admin/", other), other


def test_a_source_accepts_large_bodies_as_its_format_says() -> None:
    large = {"webhook_format": {"max_bytes": 65_537}, "scheme": "none"}
    Source.objects.create(slug="batches", name="Batches", **large)
    Source.objects.create(slug="off", name="Off", is_enabled=False, **large)
    Source.objects.create(slug="single", name="Single", scheme="none")
    Source.objects.create(slug="broken", name="Broken", scheme="none", webhook_format={"max_bytes": "x"})
    assert [may_send(f"/webhooks/{slug}") for slug in ("batches", "batches/")] == [True, True]
    for path in ("off", "single", "broken", "nobody", "batches/x", "", "\0"):
        assert not may_send(f"/webhooks/{path}"), path
