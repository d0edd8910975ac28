"""The migrations of `sync` with one of a later release, which adds what the code before it does not know."""

from pathlib import Path

from sync import migrations

LAST = max(path.stem for path in Path(migrations.__path__[0]).glob("[0-9]*.py"))
"""The newest migration of the present release."""
__path__[:0] = migrations.__path__
