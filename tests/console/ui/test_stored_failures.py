"""A failure that a worker stored in English is shown in the language of the reader."""

import ast
from collections.abc import Iterator

import pytest

from config_schema.translatable import decode_text, encode_text, translatable, translatable_plural
from console.ui.stored_failures import TEMPLATES, translate_failure
from console.ui.translation import translate_text
from sync.jobs.claims import DIED_MESSAGE
from tests.support.translation.catalogue_texts import ROOT, bracketed_language, needs_gettext

pytestmark = [pytest.mark.pure, needs_gettext]

# The modules whose failures are stored: all that they mark, and the reasons of the exchanges.
PRODUCERS = (
    "sync/jobs/claims.py",
    "sync/monitoring/channels.py",
    "sync/monitoring/notifications.py",
    "sync/connectors/signed_post.py",
    "sync/housekeeping/checkpoint_channels.py",
    "audit/sealing/publish_checkpoints.py",
    "exports/jobs/lifecycle.py",
    "exports/tables/xlsx_writer.py",
    "exports/bundle/event_selection.py",
    "exports/bundle/audit_evidence.py",
    "exports/bundle/deletion_times.py",
    "exports/bundle/sqlite_copy.py",
    "exports/bundle/unreadable_rows.py",
)
EXCHANGES = ("sync/connectors/http/transport.py", "sync/connectors/http/response_reader.py")
FAILURES = {
    "NotificationFailed",
    "PublishFailed",
    "PostFailed",
    "NotSealed",
    "TooManyRows",
    "NoTemporarySpace",
    "UnreadableRows",
}
REASONS = {"DeadlineExceeded", "InvalidResponse", "ConnectionFailed"}


def calls_in(code: str, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node


def texts_in(node: ast.AST) -> set[str]:
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def unknown_failures(code: str) -> list[str]:
    """Return what a module gives a failure for its text that the console would not recognise."""
    marked = [call.args[0] for call in calls_in(code, {"translatable"})]
    unmarked = [
        call.args[0]
        for call in calls_in(code, FAILURES)
        if isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    known = [text for node in marked for text in texts_in(node) if text not in TEMPLATES]
    return known + [ast.unparse(node) for node in unmarked]


def test_every_failure_of_a_worker_is_known_to_the_console() -> None:
    unknown = {module: unknown_failures((ROOT / module).read_text("utf-8")) for module in PRODUCERS}
    assert unknown == {module: [] for module in PRODUCERS}


@pytest.mark.parametrize("module", EXCHANGES)
def test_every_reason_of_a_failed_exchange_is_known_to_the_console(module: str) -> None:
    calls = list(calls_in((ROOT / module).read_text("utf-8"), REASONS))
    assert calls
    assert [text for call in calls for text in texts_in(call.args[0]) if text not in TEMPLATES] == []


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            str(DIED_MESSAGE),
            "[[Its process crashed 3 times without making progress. It is not retried automatically.]]",
        ),
        ("the alarm webhook responded with 503", "[[[[the alarm webhook]] responded with 503]]"),
        ("the alarm webhook failed: no connection", "[[[[the alarm webhook]] failed: [[no connection]]]]"),
        (
            "the mail server did not accept it: SMTPException",
            "[[the mail server did not accept it: SMTPException]]",
        ),
        ("An unknown sentence.", "An unknown sentence."),
        ("the alarm webhook re", "the alarm webhook re"),
        ("", ""),
    ],
)
def test_a_stored_failure_is_translated_with_its_values(sentence: str, shown: str) -> None:
    assert translate_failure(sentence) == sentence
    with bracketed_language():
        assert translate_failure(sentence) == shown


def test_a_message_that_repeats_a_template_is_shown_unchanged() -> None:
    assert translate_failure("failed: " * 40) == "failed: " * 40


def test_a_stored_text_is_read_as_it_was() -> None:
    for text in (
        translatable("%(place)s: %(sentence)s", place="/a", sentence=translatable("This must be a text.")),
        translatable("100 %"),
        translatable_plural("%(number)s row", "%(number)s rows", 3),
    ):
        loaded = decode_text(encode_text(text))
        assert loaded == text
        with bracketed_language():
            assert translate_text(loaded) == translate_text(text)
