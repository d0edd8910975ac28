"""The settings of developers' commands: those of the hub, and the app that has these commands."""

from integration_hub.settings import *  # noqa: F403

INSTALLED_APPS = ["devtools", *INSTALLED_APPS]  # noqa: F405
