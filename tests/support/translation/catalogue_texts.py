"""The texts that `python -m devtools makemessages` finds, and a language that puts brackets around each of them."""

import os
import re
import shutil
import subprocess
import tempfile
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.utils import translation
from django.utils.translation import trans_real

from config_schema.errors import SettingsInvalid
from config_schema.translatable import TranslatableText

ROOT = Path(__file__).parents[3]
PACKAGES = (
    *("config_schema", "database", "audit", "webhooks", "logins", "connectors", "sync", "exports", "console"),
    "integration_hub",
)
# A language that Django knows, and the hub does not.
LANGUAGE = "eo"
BRACKETS = re.compile(r"\[\[.*\]\]", re.DOTALL)

needs_gettext = pytest.mark.skipif(
    shutil.which("xgettext") is None, reason="GNU gettext is not installed here; .ci/run installs it"
)


@cache
def read_catalogue() -> frozenset[str]:
    """Return the texts that the Python modules and the presets mark, both forms of those with a plural."""
    return frozenset(text for entry in _read_entries() for text in entry)


@contextmanager
def bracketed_language() -> Iterator[None]:
    """Activate a language that has every marked text of the Python modules and the presets in double brackets."""
    with tempfile.TemporaryDirectory() as folder:
        messages = Path(folder, LANGUAGE, "LC_MESSAGES", "django.po")
        messages.parent.mkdir(parents=True)
        messages.write_text(_write_entries(_read_entries()), "utf-8")
        subprocess.run(["msgfmt", messages, "-o", messages.with_suffix(".mo")], check=True)
        cached = trans_real._translations.pop(LANGUAGE, None)
        try:
            with override_settings(LOCALE_PATHS=[folder]), translation.override(LANGUAGE):
                yield
        finally:
            trans_real._translations.pop(LANGUAGE, None)
            if cached is not None:
                trans_real._translations[LANGUAGE] = cached


def find_unmarked(text: str, catalogue: frozenset[str]) -> Iterator[str]:
    """Yield the templates of a text that the catalogue does not have, and a text without a template."""
    if not isinstance(text, TranslatableText):
        yield str(text)
        return
    for template in filter(None, (text.template, text.plural)):
        # What only puts other texts together has no words of its own.
        if re.search(r"[A-Za-z]", re.sub(r"%\(\w+\)s", "", template)) and template not in catalogue:
            yield template
    for value in text.params.values():
        if isinstance(value, TranslatableText):
            yield from find_unmarked(value, catalogue)


@pytest.fixture(autouse=True)
def every_refusal_is_marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which settings are refused with a sentence that a translator would not find."""
    if shutil.which("xgettext") is None:
        yield
        return
    sentences: list[str] = []
    initialize = SettingsInvalid.__init__

    def record(self: SettingsInvalid, *arguments: object) -> None:
        initialize(self, *arguments)  # type: ignore[arg-type]
        sentences.append(self.sentence)

    monkeypatch.setattr(SettingsInvalid, "__init__", record)
    yield
    unmarked = {one for sentence in sentences for one in find_unmarked(sentence, read_catalogue())}
    if unmarked:
        pytest.fail(f"not marked for translation: {sorted(unmarked)}")


@cache
def _read_entries() -> tuple[tuple[str, ...], ...]:
    """Return the entries of a new catalogue, each with its text and, if it has one, its plural."""
    with tempfile.TemporaryDirectory() as folder:
        # A copy, because a file of data is converted beside itself.
        for name in PACKAGES:
            shutil.copytree(
                ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("static", "__pycache__")
            )
        Path(folder, "locale").mkdir()
        before = Path.cwd()
        os.chdir(folder)
        try:
            with override_settings(LOCALE_PATHS=[str(Path(folder, "locale"))]):
                call_command("makemessages", locale=[LANGUAGE], extensions=["py", "json"], verbosity=0)
        finally:
            os.chdir(before)
        text = Path(folder, "locale", LANGUAGE, "LC_MESSAGES", "django.po").read_text("utf-8")
    return tuple(entry for block in text.split("\n\n")[1:] if (entry := _read_entry(block)))


def _read_entry(block: str) -> tuple[str, ...]:
    # Texts with a context have another meaning, and are not looked up by the text alone.
    if re.search(r"^msgctxt", block, re.MULTILINE):
        return ()
    quoted = re.findall(r'^msgid(?:_plural)? ((?:"[^\n]*"\n?)+)', block, re.MULTILINE)
    return tuple("".join(literal_eval(line) for line in text.splitlines()) for text in quoted)


def _write_entries(entries: tuple[tuple[str, ...], ...]) -> str:
    header = '"Content-Type: text/plain; charset=UTF-8\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n'
    blocks = [f'msgid ""\nmsgstr ""\n{header}']
    for entry in entries:
        names = ("msgid", "msgid_plural")
        lines = [f"{name} {_quote(text)}" for name, text in zip(names, entry, strict=False)]
        if len(entry) == 1:
            lines.append(f"msgstr {_quote(_bracket(entry[0]))}")
        else:
            lines += [f"msgstr[{number}] {_quote(_bracket(text))}" for number, text in enumerate(entry)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _bracket(text: str) -> str:
    return f"[[{text}]]"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
