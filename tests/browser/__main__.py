"""`python -m tests.browser`: the pictures of `make screenshots`, in the environment of the tests."""

import os
import sys

import django

from tests.support import environment

assert environment, "imported before Django reads its settings"
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.settings"
os.environ["ENVIRONMENT"] = "staging"
django.setup()

if __name__ == "__main__":
    from tests.browser.stage.screenshots import main

    main(sys.argv[1:])
