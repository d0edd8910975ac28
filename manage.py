#!/usr/bin/env python3
"""Django's command line for the hub."""

from integration_hub.__main__ import main

if __name__ == "__main__":
    main()
