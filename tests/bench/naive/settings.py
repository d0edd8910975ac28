"""Settings with the hub's databases on Django's own backends, and nothing else that costs time."""

import os

import environ  # type: ignore[import-untyped]

from database.settings import SQLITE_PRAGMAS

SECRET_KEY = "only-for-the-benchmark"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["rest_framework", "tests.bench.naive"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "tests.bench.naive.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
USE_I18N = False
# What the hub's web server reads.
KEEP_TO_ONE_CORE = False
DELIVERY_THREADS = 32
METRICS_TOKEN = ""

_SQLITE = {
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "timeout": 10.0,
        "transaction_mode": "IMMEDIATE",
        "init_command": SQLITE_PRAGMAS,
    },
}
_POSTGRESQL = {
    "CONN_MAX_AGE": 0,
    "OPTIONS": {"pool": {"min_size": 1, "max_size": 24, "timeout": 10.0}, "connect_timeout": 5},
}

_parsed = dict(environ.Env.db_url_config(os.environ["DATABASE_URL"]))
DATABASES = {"default": _parsed | (_SQLITE if "sqlite" in _parsed["ENGINE"] else _POSTGRESQL)}

IDENTITY_URL = os.environ["BENCH_IDENTITY_URL"]
SHOP_URL = os.environ["BENCH_SHOP_URL"]
