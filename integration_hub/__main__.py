"""Django's command line for the hub: `python -m integration_hub` or `manage.py`."""

import os
import sys

from django import get_version
from django.core.management import execute_from_command_line

from database.private_files import make_new_files_private
from integration_hub import __version__
from integration_hub.start_refusals import settings_or_exit


def main() -> None:
    """Run the management command that the command line names. `version` is the hub's, not Django's."""
    if sys.argv[1:] in (["version"], ["--version"]):
        print(f"Integration Hub {__version__} (Django {get_version()})")
        return
    make_new_files_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
    with settings_or_exit():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
