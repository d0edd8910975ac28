"""Tests of `config_schema.expressions`."""
