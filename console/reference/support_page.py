"""The page *Help*: `docs/support.md`, for people who look after events and are no programmers."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

DOCUMENT = Path("docs", "support.md")


@dataclass(frozen=True, slots=True)
class HelpSection:
    """A section of the page: its heading, its id and its text as HTML."""

    heading: str
    anchor: str
    text: SafeString


@dataclass(frozen=True, slots=True)
class HelpPage:
    title: str
    intro: SafeString
    sections: tuple[HelpSection, ...]


@cache
def load_help_page() -> HelpPage:
    """Return the document as it is in this version of the hub. HTML in it is shown as text."""
    text = (settings.BASE_DIR / DOCUMENT).read_text("utf-8")
    head, *parts = re.split(r"^##? ", text, flags=re.MULTILINE)[1:]
    title, _, intro = head.partition("\n")
    return HelpPage(title, _render(intro), tuple(map(_read_section, parts)))


def _read_section(part: str) -> HelpSection:
    heading, _, text = part.partition("\n")
    return HelpSection(heading, slugify(heading), _render(text))


def _render(text: str) -> SafeString:
    # Imported here because only this page needs it: it would be in the memory of each process.
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    return mark_safe(str(markdown.render(text)))  # noqa: S308  # the renderer escapes what is no Markdown
