"""The command line of the sandbox: ``python -m sandbox``."""

import sys

from sandbox.cli import main

sys.exit(main())
