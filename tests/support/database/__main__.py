"""`python -m tests.support.database COMMAND…`: the test runs of a command share a PostgreSQL server and migrated templates.

Each run would otherwise start a server and migrate a template for itself, which takes seconds. Exits as the command did.
"""

import subprocess
import sys

from tests.support.database import postgresql, template_database


def main(command: list[str]) -> int:
    """Run the command with the server and the folder of templates in its environment. Returns its exit code."""
    template_database.share_templates_between_runs()
    postgresql.url()
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
