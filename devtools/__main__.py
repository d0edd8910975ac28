"""`python -m devtools COMMAND`: commands for developers, which `manage.py` of a production hub does not have."""

import os

from integration_hub.__main__ import main

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "devtools.settings"
    main()
