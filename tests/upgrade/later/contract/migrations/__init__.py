"""The migrations of `sync` with one of a later release that rewrites a table and removes what was stored."""

from sync import migrations

__path__[:0] = migrations.__path__
