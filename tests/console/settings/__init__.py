"""Tests of the pages of sources, connections, routes and mappings."""
