"""The settings of a hub whose `sync` has a migration of a later release."""

from tests.support.settings import *  # noqa: F403

MIGRATION_MODULES = {"sync": "tests.upgrade.later.expand.migrations"}
