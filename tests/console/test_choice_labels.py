"""The labels of every choice of a model are shown in the language of the reader."""

import pytest
from django.apps import apps
from django.utils.encoding import force_str

from tests.support.translation.catalogue_texts import BRACKETS, bracketed_language, needs_gettext

pytestmark = [pytest.mark.pure, needs_gettext]

FIELDS = [
    field
    for model in apps.get_models()
    if model.__module__.partition(".")[0] in ("audit", "console", "exports", "logins", "sync", "webhooks")
    for field in model._meta.concrete_fields
    if field.choices
]


@pytest.mark.submission
def test_the_labels_of_every_field_are_translated() -> None:
    with bracketed_language():
        labels = [(field, force_str(label)) for field in FIELDS for _value, label in field.flatchoices]
    assert len(labels) > 100
    assert [(field, label) for field, label in labels if not BRACKETS.fullmatch(label)] == []
