"""The fields of the JSON document that the editor of a mapping asks for."""

from functools import cache

from django.utils.translation import get_language

from console.ui.setting_entries import FieldList, describe_object
from sync.planning.mapping import ParsedMapping


def mapping_field_list() -> FieldList:
    return _mapping_document(get_language())


# The texts are in the active language, so the list is cached by it.
@cache
def _mapping_document(language: str | None) -> FieldList:
    return FieldList("mapping", tuple(describe_object(ParsedMapping.kind, "")), has_expressions=True)
