"""The visible text of a page, one line a block, and the files that hold it."""

import difflib
import re
from html.parser import HTMLParser

BLOCKS = frozenset(
    (
        *(
            "button",
            "details",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figure",
            "footer",
            "form",
            "h1",
            "h2",
            "h3",
            "h4",
        ),
        *("header", "label", "legend", "li", "main", "nav", "ol", "p", "pre", "section", "select", "summary"),
        *("table", "textarea", "title", "tr", "ul"),
    )
)
INLINE_BLOCKS = frozenset(("td", "th", "option", "dd"))
VOID = frozenset(("area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"))
UNSEEN = frozenset(("script", "style", "template", "svg"))
# The reference of a document's fields, which is made from their declaration, and the table beside a chart.
UNSEEN_CLASSES = frozenset(("field-list", "functions", "operations", "as-table"))
MAX_OPTIONS = 12
VARYING = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "<reference>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<trace id>"),
)


class _TextReader(HTMLParser):
    """Collects the texts of a document: one line a block, a row of a table or a pair of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._open: list[bool] = []  # of each open element, whether it is left out
        self._options = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        classes = (values.get("class") or "").split()
        if tag == "input" and values.get("type") == "submit":
            self.lines += [values.get("value") or "", ""]
        if tag in VOID:
            return
        self._open.append(tag in UNSEEN or not UNSEEN_CLASSES.isdisjoint(classes))
        if tag == "select":
            self._options = 0
        self._options += tag == "option"
        if tag in INLINE_BLOCKS:
            self.lines[-1] += " | "
        elif tag in BLOCKS:
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self._open:
            self._open.pop()
        if tag == "select" and self._options > MAX_OPTIONS:
            self.lines[-1] = f"{self._options} choices"
        if tag in BLOCKS:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not any(self._open):
            self.lines[-1] += data


def page_text(html: str) -> list[str]:
    """Return the lines of a page's title and main part, without what differs from run to run."""
    reader = _TextReader()
    # The sum of the badges differs from role to role, and with every row that a test adds.
    html = re.sub(r"(<title>\s*)\([\d,]+\) ", r"\1", html, count=1)
    title, main = re.search(r"<title>.*?</title>", html, re.DOTALL), html.find("<main")
    reader.feed((title[0] if title else "") + html[max(main, 0) :])
    lines = (" ".join(line.split()).strip("| ") for line in reader.lines)
    text = "\n".join(line for line in lines if line)
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.split("\n")


def differing_lines(lines: list[str], usual: list[str]) -> list[str]:
    """Return the lines that a role sees besides the usual ones (`+`), and those that it does not see (`-`)."""
    return [line for line in difflib.ndiff(usual, lines) if line[:2] in ("+ ", "- ")]
