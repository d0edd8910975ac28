"""Pages of the console as a test reads them."""

import re
from typing import Any

from django.test import Client


def text_of(answer: Any) -> str:
    """Return the HTML of an answer, each run of white space as one space."""
    return re.sub(r"\s+", " ", answer.content.decode())


def without_tags(html: str) -> str:
    """Return the text of HTML, each tag and each run of white space as one space."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def visible_text(answer: Any) -> str:
    """Return the text of a page without tags. Asserts status 200 and that the page has no inline styles."""
    html = answer.content.decode()
    assert answer.status_code == 200, html
    assert " style=" not in html
    return without_tags(html)


def typed_form(client: Client, address: str) -> dict[str, Any]:
    """Return what a browser sends of the form of a page if the person changes no field."""
    form = client.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {
        name: "on" if value is True else value for name, value in values.items() if value not in (None, False)
    }
