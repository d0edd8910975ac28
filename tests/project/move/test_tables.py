"""A table or a column that is added later moves too, or somebody says why not."""

import psycopg
import pytest
from django.apps import apps
from django.db import connection

from integration_hub.move.source_rows import open_source
from integration_hub.move.target import LEFT_OUT, Target
from integration_hub.move.values import make_converter
from tests.support.processes.workers import own_database


@pytest.mark.only_sqlite
def test_every_table_is_moved_or_left_out_for_a_reason(database: None) -> None:
    with open_source() as source:
        stored = set(source.list_tables())
    models = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    assert models <= stored - LEFT_OUT.keys()
    assert stored - LEFT_OUT.keys() <= models, (
        "a table that no model describes is moved; list why it is left out"
    )
    assert all(LEFT_OUT.values())


@pytest.mark.only_postgresql
def test_every_column_has_a_type_that_can_be_converted(database: None) -> None:
    with psycopg.connect(own_database(), autocommit=True) as link:
        columns = Target(link, "").list_columns()
    assert {column.data_type for table in columns.values() for column in table} >= {"jsonb", "bytea", "inet"}
    for table in set(connection.introspection.table_names()) - LEFT_OUT.keys():
        for column in columns[table]:
            make_converter(column)
