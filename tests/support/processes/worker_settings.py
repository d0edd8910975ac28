"""The hub's settings for tests with workers, except that a lease may be shorter than the timeouts of the connections.

Otherwise a test would wait for a lease as long as a production hub does.
"""

from integration_hub.settings import *  # noqa: F403

SILENCED_SYSTEM_CHECKS = ["hub.E009"]
