"""Settings that say where all values of a field are in a found record, if it may have several. Pure."""

from collections.abc import Collection, Mapping

from config_schema.objects import MapOf, ObjectRule
from config_schema.settings import SettingValues, defaulted
from config_schema.translatable import translatable
from sync.connectors.settings.setting_kinds import Expression
from sync.connectors.values.json_responses import JmesPathExpression

MAX_FIELDS = 20

FIELD_VALUES = defaulted(
    "field_values",
    MapOf(Expression(), "FIELD", 0, MAX_FIELDS),
    {},
    "For a field of which a record may have several values, such as additional e-mail addresses: an "
    "expression over the found record, by the name of the field, that returns one value or a list. The "
    "record counts only if one of them equals the value that is searched for, by the same rules as the field "
    "itself, which is then ignored. Before a record is linked by a value, the expression also reads the record as "
    "`get` returns it. It does not affect writes.",
    example={"email": "[email, other_emails[]][]"},
)
FIELD_VALUES_RULE = ObjectRule("The fields in `field_values` are among those of `fields`.")


def read_field_values(
    values: SettingValues, searched_fields: Collection[str]
) -> Mapping[str, JmesPathExpression]:
    """Return the expression of each field that has one. Rejects a field that is not searched by."""
    expressions = values[FIELD_VALUES]
    for name in expressions:
        if name not in searched_fields:
            sentence = translatable("The field “%(name)s” is not among “fields”.", name=name[:100])
            values.reject(FIELD_VALUES, sentence)
    return expressions
