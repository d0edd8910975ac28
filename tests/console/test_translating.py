"""The texts of the catalogue in another language: each is looked up as a whole with its placeholder."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import translation

from config_schema.codes import messages as catalogue_messages
from config_schema.codes.codes import CATALOGUE, code_texts
from console.deliveries import delivery_status
from console.ui import outcome_texts
from webhooks.models import State

pytestmark = pytest.mark.pure

TEXTS = [
    *(
        text
        for entry in catalogue_messages.load_texts("en").values()
        for text in (entry.title, entry.detail, entry.next_step)
    ),
    *(catalogue_messages.default_connection_name("en", side) for side in ("identity", "target")),
]


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the texts that gettext is asked for; its language puts each text in brackets, with the name at the end."""
    asked: list[str] = []

    def look_up(text: str) -> str:
        asked.append(text)
        return f"[{text.replace('{connection}', '')}{'{connection}' if '{connection}' in text else ''}]"

    for module in (outcome_texts, delivery_status):
        monkeypatch.setattr(module, "_", look_up)
    return asked


def test_every_text_of_every_code_is_translated_with_its_placeholder(looked_up: list[str]) -> None:
    for code, stored in CATALOGUE.items():
        entry = stored.texts["en"]
        looked_up.clear()
        description = outcome_texts.describe_code(code, "The shop")
        texts = [entry.title, entry.detail, entry.next_step]
        assert looked_up == texts
        shown = (description.title, description.detail, description.next_step)
        for text, translated in zip(texts, shown, strict=True):
            assert translated.startswith("[")
            assert translated.endswith("The shop]" if "{connection}" in text else "]")
            assert "{" not in translated


def test_the_texts_for_unnamed_objects_are_looked_up_too(looked_up: list[str]) -> None:
    assert "The identity service" in outcome_texts.describe_code("identity-timeout").title
    assert "The identity service" in looked_up


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
def test_the_texts_of_open_and_given_up_deliveries_are_looked_up(state: str, looked_up: list[str]) -> None:
    explanation = outcome_texts.explain_outcome(state, "target-timeout", "The shop")
    assert [explanation.title, explanation.detail, explanation.next_step] == [
        f"[{text}]" for text in looked_up
    ]
    for code in ("target-timeout", "target-credentials"):
        assert outcome_texts.explain_outcome(State.DEAD, code, "The shop").next_step.startswith(
            "[The hub has stopped"
        )
    assert (
        outcome_texts.explain_pause().next_step
        == "[It will be delivered when an administrator resumes the source or route.]"
    )
    assert delivery_status.expired_claim_words().title == "[The worker may have stopped]"


def test_a_reader_of_finnish_reads_the_catalogue_in_finnish() -> None:
    with translation.override("fi"):
        assert outcome_texts.describe_code("target-timeout", "Kauppa") == code_texts(
            "target-timeout", "fi", connection="Kauppa"
        )
    with translation.override("sv"):
        assert outcome_texts.describe_code("target-timeout", "Butik") == code_texts(
            "target-timeout", "en", connection="Butik"
        )


@pytest.mark.skipif(
    shutil.which("xgettext") is None, reason="GNU gettext is not installed here; .ci/run installs it"
)
def test_a_new_language_finds_every_text_of_the_catalogue_among_its_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    for name in ("en.toml", "fi.toml"):
        shutil.copy(Path(catalogue_messages.__file__).parent / name, tmp_path / name)
    (tmp_path / "locale").mkdir()
    settings.LOCALE_PATHS = [str(tmp_path / "locale")]
    monkeypatch.chdir(tmp_path)
    call_command("makemessages", locale=["sv"], verbosity=0)
    messages = (tmp_path / "locale/sv/LC_MESSAGES/django.po").read_text("utf-8")
    joined = re.sub(r'"\n"', "", messages)
    assert [text for text in TEXTS if f'msgid "{text}"' not in joined] == []
    assert "Kaupallinen" not in messages
    assert sorted(path.name for path in tmp_path.iterdir()) == ["en.toml", "fi.toml", "locale"]
