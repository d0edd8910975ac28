"""A cached reader reads each document once, and never mistakes one for another."""

from typing import Any

import pytest

from config_schema.cached_reader import CachedReader
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import AnyValue

pytestmark = pytest.mark.pure


class CountedKind(AnyValue):
    def __init__(self) -> None:
        self.__dict__["reads"] = 0

    def read(self, value: Any, place: SettingPath) -> Any:
        self.__dict__["reads"] += 1
        if value == {"bad": 1}:
            raise SettingsInvalid(place, "No.")
        return [value]


def test_a_document_is_read_again_only_if_it_differs_or_was_refused_or_forgotten() -> None:
    kind = CountedKind()
    reader = CachedReader(kind, most=5)
    different = ({"a": 1}, {"a": True}, {"a": "1"}, {"a": 1.0}, {"a": [1]})
    for _ in range(2):
        assert [type(reader.read(document)[0]["a"]) for document in different] == [
            int,
            bool,
            str,
            float,
            list,
        ]
        assert kind.__dict__["reads"] == 5
    changed = {"a": 1}
    assert reader.read(changed) == [{"a": 1}]
    changed["a"] = 2
    assert reader.read(changed) == [{"a": 2}]
    assert kind.__dict__["reads"] == 6
    for _ in range(2):
        with pytest.raises(SettingsInvalid):
            reader.read({"bad": 1})
    assert kind.__dict__["reads"] == 8
    assert reader.read({"a": True}) == [{"a": True}]
    assert kind.__dict__["reads"] == 9
