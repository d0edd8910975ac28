"""The fields of a change form, as a browser without scripts sends them."""

import re
from html.parser import HTMLParser
from typing import Any


class _Fields(HTMLParser):
    """The fields of the change form, as a browser without scripts would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self._open: str | None = None
        self._select: str | None = None
        self.feed(re.split(r'<form[^>]* id="\w+_form"', page, maxsplit=1)[1])

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        facts = dict(attrs)
        name, kind = facts.get("name") or "", facts.get("type") or "text"
        if tag == "textarea":
            self._open = name
            self.fields.setdefault(name, []).append("")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in facts:
            self.fields.setdefault(self._select, []).append(facts.get("value") or "")
        elif tag == "input" and name and (kind not in ("checkbox", "radio") or "checked" in facts):
            self.fields.setdefault(name, []).append(
                facts.get("value") or ("on" if kind == "checkbox" else "")
            )

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.fields[self._open][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._open is not None:
            texts = self.fields[self._open]
            texts[-1] = texts[-1].removeprefix("\n").replace("\n", "\r\n")
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "form" and "csrfmiddlewaretoken" in self.fields and "name" in self.fields:
            self.reset_parsing()

    def reset_parsing(self) -> None:
        self.handle_starttag = lambda *_: None  # type: ignore[method-assign,assignment]


def read_fields(answer: Any) -> dict[str, list[str]]:
    """Return the fields of the change form on a page, with the values that a browser sends."""
    return _Fields(answer.content.decode()).fields
