"""Every sentence in the modules that describe and refuse settings is marked for translation, found by reading the code."""

import ast
import re
from collections.abc import Iterator

import pytest

from config_schema.translatable import join_texts, translatable
from tests.support.translation.catalogue_texts import ROOT, needs_gettext, read_catalogue
from tests.support.translation.catalogue_texts import find_unmarked as find_unmarked_parts

pytestmark = [pytest.mark.pure, needs_gettext]

PLACES = (
    *(
        "config_schema",
        "sync/connectors/settings",
        "sync/planning/mapping_declaration.py",
        "webhooks/presets",
    ),
    *("sync/connectors/registry.py", "sync/connectors/http/urls.py", "sync/connectors/http/placeholders.py"),
    *("webhooks/protocol/schemes.py", "webhooks/protocol/hmac_rule.py", "webhooks/protocol/body_secret.py"),
    *("webhooks/protocol/handshake.py", "webhooks/protocol/formats", "webhooks/protocol/tokens/jwt_rule.py"),
    *("webhooks/protocol/tokens/public_keys.py", "webhooks/responses/response_format.py"),
    *("sync/models/connection.py", "sync/models/route.py", "webhooks/models/source.py"),
)
MODULES = [
    path
    for place in PLACES
    for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
]
SENTENCE = re.compile(r"[A-Z“`%].* .*[.]", re.DOTALL)
# The names of arguments whose texts are not for people.
_EXAMPLES = {"example", "help_text"}


def find_sentences(code: str) -> Iterator[tuple[str, bool]]:
    """Yield each literal that reads as a sentence and is neither a docstring nor an example, and True if values are put
    into it.
    """
    tree = ast.parse(code)
    ignored: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            ignored.add(node.value)  # a docstring, or one of an attribute
        if isinstance(node, ast.keyword) and node.arg in _EXAMPLES:
            ignored.update(ast.walk(node.value))
        if isinstance(node, ast.JoinedStr):
            ignored.update(node.values)
    for node in ast.walk(tree):
        if node in ignored:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if SENTENCE.fullmatch(text):
            yield text, isinstance(node, ast.JoinedStr)


def find_unmarked(code: str) -> list[str]:
    return [text for text, is_built in find_sentences(code) if is_built or text not in read_catalogue()]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_sentence_of_a_module_is_in_the_catalogue(module: object) -> None:
    assert find_unmarked(module.read_text("utf-8")) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "code",
    [
        'raise SettingsInvalid(place, f"This must be at most {MOST} characters.")',
        'sentence = "This sentence is in no catalogue."',
        '_SETTING = Setting(name="x", meaning="What is marked by no function of ours.", example="Not this one.")',
    ],
)
def test_a_broken_variant_with_an_unmarked_sentence_is_caught(code: str) -> None:
    assert len(find_unmarked(code)) == 1


def test_an_untranslatable_error_message_is_caught() -> None:
    """The fixture in the conftest of each folder of settings uses this search."""
    marked = translatable("This must be one of: %(choices)s.", choices="a, b")
    noun = translatable("an unmarked noun")
    assert list(find_unmarked_parts(marked, read_catalogue())) == []
    assert list(find_unmarked_parts(noun, read_catalogue())) == [noun]
    assert list(find_unmarked_parts(str(marked), read_catalogue())) == [marked]
    assert list(find_unmarked_parts(join_texts("; ", (marked, noun)), read_catalogue())) == [noun]
