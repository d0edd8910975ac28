"""The pages of a source, and what they say."""

from django.test import Client

from tests.support.pages import visible_text
from webhooks.models import Source

WHY = {"reason": "the shop moves"}


def page_of(of: Source) -> str:
    return f"/admin/webhooks/source/{of.pk}/change/"


def sent(client: Client, of: Source) -> str:
    return visible_text(client.post(f"/admin/webhooks/source/{of.pk}/test/", follow=True))
