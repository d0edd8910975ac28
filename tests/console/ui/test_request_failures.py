"""The reasons why requests of connectors fail are shown in the language of the reader."""

import ast
from collections.abc import Iterator

import pytest

from console.ui.request_failures import translate_finding, translate_reason, translate_request_failure
from tests.support.translation.catalogue_texts import BRACKETS, ROOT, bracketed_language, needs_gettext

pytestmark = [pytest.mark.pure, needs_gettext]

CONNECTORS = ROOT / "sync" / "connectors"
# Settings are refused with sentences of their own, and presets are data.
MODULES = [
    path
    for path in sorted(CONNECTORS.rglob("*.py"))
    if not {"settings", "presets"} & set(path.relative_to(CONNECTORS).parts)
]
# Functions and classes that are given the reason of a failure, and the name of a variable that has it.
RAISERS = (
    *(
        "unreadable_error",
        "unsafe_error",
        "stale_error",
        "not_configured_error",
        "UnreadableError",
        "_NoToken",
    ),
    *("UnsafeValueError", "UrlNotAllowed", "InvalidResponse", "ConnectionFailed", "DeadlineExceeded", "kind"),
    *("error", "UnreadableResponse", "RequestRejected", "CredentialsRefused", "_error"),
)
VARIABLES = ("reason", "message")


def reasons_in(code: str) -> Iterator[str]:
    """Yield the reasons that a module gives, with X in place of each value, and without the request before them."""
    for node in ast.walk(ast.parse(code)):
        given: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in RAISERS:
            given = node.args
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in VARIABLES:
            given = [node.value]
        for argument in given:
            yield from (text for text in texts_in(argument) if " " in text)


def texts_in(node: ast.AST) -> Iterator[str]:
    """Yield the literals of an expression, or of either side of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from texts_in(node.body)
        yield from texts_in(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
        # `{label}: {reason}` has the words of another reason.
        yield "".join(parts).removeprefix("X: ")


def test_every_reason_of_a_failed_request_is_known_to_the_console() -> None:
    with bracketed_language():
        reasons = {text: path for path in MODULES for text in reasons_in(path.read_text("utf-8"))}
        unknown = [
            (path.name, text)
            for text, path in reasons.items()
            if not BRACKETS.fullmatch(translate_reason(text))
        ]
    assert len(reasons) > 30
    assert unknown == []


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("GET /api/users: responded with 500", "GET /api/users: [[responded with 500]]"),
        ("GET /api/users: no response in 10 s", "GET /api/users: [[[[no response]] in 10 s]]"),
        ("POST /token: the response contains no token", "POST /token: [[the response contains no token]]"),
        ("GET /api/users: an unknown reason", "GET /api/users: an unknown reason"),
        ("", ""),
    ],
)
def test_the_message_of_a_connector_keeps_its_request(message: str, shown: str) -> None:
    assert translate_request_failure(message) == message
    with bracketed_language():
        assert translate_request_failure(message) == shown


def test_the_message_of_another_system_is_not_translated() -> None:
    with bracketed_language():
        assert translate_finding("taken", "responded with 500") == "responded with 500"
        assert translate_finding("not-configured", "responded with 500") == "[[responded with 500]]"
