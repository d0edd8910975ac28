"""The tags of `console_layout`."""

import pytest
from django.template import Context, Template

pytestmark = pytest.mark.pure


def rendered(source: str, **values: object) -> str:
    """Return a template's output."""
    return Template("{% load console_layout %}" + source).render(Context(values))


def test_a_column_names_its_cell_and_leaves_an_empty_one_empty() -> None:
    assert rendered(
        '{% column label class="mono" %}\n  {{ text }}\n{% endcolumn %}', label="<A>", text="<b>"
    ) == ('<td class="mono" data-label="&lt;A&gt;">&lt;b&gt;</td>')
    assert (
        rendered('{% column "A" %}\n  {% if text %}x{% endif %}\n{% endcolumn %}')
        == '<td data-label="A"></td>'
    )


def test_a_fact_is_a_row_of_name_and_value() -> None:
    assert rendered('{% fact "Size" class="mono" %} {{ size }} {% endfact %}', size=5) == (
        '<div><dt>Size</dt><dd class="mono">5</dd></div>'
    )


def test_a_notice_begins_with_its_title() -> None:
    text = '{% notice "warn" title role="alert" %}<p>{{ detail }}</p>{% endnotice %}'
    assert rendered(text, title="<Late>", detail="&") == (
        '<div class="notice notice-warn" role="alert"><p><strong>&lt;Late&gt;</strong></p><p>&amp;</p></div>'
    )
    assert rendered("{% notice %}x{% endnotice %}") == '<div class="notice">x</div>'
