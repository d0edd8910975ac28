"""The environment of the tests and their database, loaded before Django's settings (`-p tests.support.environment`).

HUB_TEST_DATABASE chooses `sqlite` (default) or `postgresql`. HUB_TEST_ENGINE=celery sends work for workers through
Celery and Redis, with one Redis database for each pytest process.
"""

import os

from tests.support import redis
from tests.support.database import postgresql, template_database

os.environ.update(
    HUB_ENV_FILE=os.devnull,
    DEBUG="off",
    SECRET_KEY="only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz",
    SEALING_KEYS="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    EGRESS_ALLOW="public,127.0.0.0/8,::1",  # stand-ins of other systems run on this machine
    LOG_LEVEL="CRITICAL",
    LEASE_SECONDS="20",
    DELIVERY_THREADS="16",
    CONFIGURATION_SECONDS="0",
    ALARM_UNSEALED_SECONDS="0",  # few tests run a sealer
)

templates = template_database.share_templates()
os.environ["ERASURE_LIST"] = str(templates / "erasures.jsonl")
if os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql":
    os.environ["DATABASE_URL"] = postgresql.url()
else:
    # A process that a test starts without a database of its own must not open the one in var/: a hub may run from this
    # checkout, perhaps with another schema.
    os.environ["DATABASE_URL"] = f"sqlite:///{templates / 'unused.sqlite3'}"
if os.environ.get("HUB_TEST_ENGINE") == "celery":
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.environ["CELERY_BROKER_URL"] = f"{redis.url()}/{number}"
else:
    os.environ.pop("CELERY_BROKER_URL", None)
