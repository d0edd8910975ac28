"""The pages of a source, and what they say."""

import re
from typing import Any

from django.test import Client

from webhooks.models import Source

WHY = {"reason": "the shop moves"}


def page_of(of: Source) -> str:
    return f"/admin/webhooks/source/{of.pk}/change/"


def read(answer: Any) -> str:
    assert answer.status_code == 200
    assert " style=" not in answer.content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def sent(client: Client, of: Source) -> str:
    return read(client.post(f"/admin/webhooks/source/{of.pk}/test/", follow=True))
