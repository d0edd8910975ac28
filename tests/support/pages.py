"""Pages of the console as a test reads them."""

import re
from typing import Any

from django.test import Client


def text_of(answer: Any) -> str:
    """Return the HTML of an answer, without the white space in which its template is laid out."""
    return on_one_line(answer.content.decode())


def on_one_line(html: str) -> str:
    """Return HTML with each run of white space as one space, and none at the edges of an element or after a block."""
    html = re.sub(r"(<\w[^>]*>) ", r"\1", re.sub(r"\s+", " ", html).replace(" >", ">")).replace(" </", "</")
    return re.sub(r"(</(?:dd|details|div|dt|li|p|summary|td|th|tr|ul)>) (?=<)", r"\1", html)


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
