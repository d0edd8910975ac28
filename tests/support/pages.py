"""Pages of the console as a test reads them."""

import re
from typing import Any


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
