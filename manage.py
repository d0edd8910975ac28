#!/usr/bin/env python3
"""Django's command line for the hub."""

import sys
from pathlib import Path

# Before installed packages, some of which are called `console` or `audit` too, and even if Python leaves it out.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from integration_hub.__main__ import main

if __name__ == "__main__":
    main()
