"""Kinds of values in the settings of a connection."""

import pytest

from config_schema.errors import SettingsInvalid
from connectors.settings.setting_kinds import Expression

pytestmark = pytest.mark.pure


def test_an_expression_is_refused_with_the_reason() -> None:
    cases: list[tuple[str, str]] = [
        ("nope(id)", "This JMESPath expression calls nope(). Known functions: abs, "),
        ("linked('USER', id)", "This JMESPath expression calls linked(). Known functions: abs, "),
        ("a" * 1_001, "This JMESPath expression is longer than 1,000 characters"),
        ("", "This must be a JMESPath expression."),
        ("a.b[?c", "This must be a JMESPath expression. It cannot be read from character 7 on."),
        ("a.b ~ c", "This must be a JMESPath expression. It cannot be read from character 5 on."),
    ]
    for text, sentence in cases:
        with pytest.raises(SettingsInvalid) as refused:
            Expression().read(text, ("record",))
        assert refused.value.sentence.startswith(sentence)
