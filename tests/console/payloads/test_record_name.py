"""The name of a person among the fields of a record, as systems call them."""

from typing import Any

import pytest

from console.payloads.record_name import record_name

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"first_name": "Anna", "last_name": "Aalto", "name": "anna@example.com"}, "Anna Aalto"),
        ({"FirstName": " Anna ", "LastName": None}, "Anna"),
        ({"displayName": "Anna  Aalto", "email": "anna@example.com"}, "Anna Aalto"),
        ({"name": {"givenName": "Anna", "familyName": "Aalto"}}, "Anna Aalto"),
        ({"name": {"formatted": "Anna Aalto"}}, "Anna Aalto"),
        ({"company": {"name": "Acme"}, "email": "anna@example.com", "title": "Director"}, ""),
        ({"name": "Regular customers", "description": "since spring"}, "Regular customers"),
        ({"name": 7}, ""),
        ({"name": "x" * 200}, "x" * 80),
    ],
)
def test_a_name_is_found_by_the_names_of_its_fields(fields: dict[str, Any], name: str) -> None:
    assert record_name(fields) == name
