"""`python -m tests.support.audit.vectors ARCHIVE`: the published test vectors, in the environment of the tests."""

import os
import sys
from pathlib import Path

import django

from tests.support import environment

assert environment, "imported before Django reads its settings"
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.settings"
django.setup()

if __name__ == "__main__":
    from tests.support.audit.vectors.write import write_archive

    write_archive(Path(sys.argv[1]))
