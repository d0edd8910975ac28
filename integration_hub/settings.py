"""Settings, read from the environment and from `.env` in the directory of `manage.py`.

Nothing here has a default that would be unsafe on the internet: with DEBUG off, the hub refuses to start until the
variables it needs are set, and names the one that is missing.
"""

import os
import sys
from pathlib import Path

import environ  # type: ignore[import-untyped]

from database.private_files import make_folder_private
from integration_hub.environment import (
    build_transport_options,
    read_database,
    read_delays,
    read_egress_policy,
    read_env_file,
    read_limit,
    read_listen_address,
    read_log_format,
    read_log_level,
    read_mail_server,
    read_number,
    read_public_url,
    read_required,
    read_wait_seconds,
)
from integration_hub.probes.answers import PROBE_PATHS

BASE_DIR = Path(__file__).resolve().parent.parent
WORKING_DIR = BASE_DIR  # of `.env` and `var/`
# The beginning of the command line with which one process of the hub starts another.
COMMAND_LINE = [sys.executable, str(BASE_DIR / "manage.py")]

env = environ.Env()
read_env_file(os.environ.get("HUB_ENV_FILE", str(WORKING_DIR / ".env")))


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = read_required(
    env, "SECRET_KEY", "it signs sessions and result addresses; 50 random characters or more"
)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
SEALING_KEYS = [
    key
    for key in read_required(env, "SEALING_KEYS", "it encrypts secrets and payloads at rest").split(",")
    if key
]
# The keys of the digests by which people are found: the first one makes new digests, a search uses all of them. Without
# one, nobody is found by a value.
SEARCH_KEYS = [key for key in env.str("SEARCH_KEYS", default="").split(",") if key]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# The name of this installation in the console's badge: production, test, …
ENVIRONMENT = env.str("ENVIRONMENT", default="laptop" if DEBUG else "")

INSTALLED_APPS = [
    "integration_hub",  # before the apps whose commands it replaces
    "console.site.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",  # templates of widgets, for the renderer below
    "rest_framework",
    "audit",
    "webhooks",
    "logins",
    "sync",
    "exports",
    "console",
]

MIDDLEWARE = [
    "integration_hub.middleware.RequestMetricsMiddleware",
    "integration_hub.middleware.RequestIdMiddleware",
    "console.middleware.CompressedPages",
    "integration_hub.middleware.ConnectionReleaseMiddleware",
    "integration_hub.middleware.ProblemJsonMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "console.middleware.ConsoleSessions",
    "integration_hub.middleware.HostMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "console.middleware.ConsoleUsers",
    "console.middleware.ActorContextMiddleware",
    "console.middleware.ConsoleMessages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.middleware.ConsolePolicy",
    "console.middleware.ChosenPassword",
    "console.middleware.PersonalConsole",
    "console.middleware.RememberedList",
    "console.middleware.ConsoleNotFound",
    "console.middleware.DamagedValuePage",
    "console.middleware.MovingPage",
]

ROOT_URLCONF = "integration_hub.urls"
WSGI_APPLICATION = "integration_hub.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

FORM_RENDERER = "console.ui.form_renderer.ConsoleFormRenderer"

# Concurrent deliveries in a process, web or worker. They mostly wait for other systems, so there may be more of them
# than cores. A delivery holds a connection of DATABASE_POOL only during a transaction. A worker has seven more threads,
# which look for work.
DELIVERY_THREADS = read_number(env, "DELIVERY_THREADS", 32, minimum=1, maximum=1000)
DELIVERY_QUEUE = read_number(env, "DELIVERY_QUEUE", 200)
WEB_THREADS = read_number(env, "WEB_THREADS", 32, minimum=1, maximum=1000)
# The file that a worker, or Celery's beat, touches in each of its rounds: see sync/worker/heartbeat.py.
HEARTBEAT_FILE = env.str("HEARTBEAT_FILE", default="")

DATABASES = {"default": read_database(env, WORKING_DIR / "var")}
# The longest wait for a response of the database where a source or a load balancer waits for an answer. The server's
# own limit for locks comes first, unless the server is frozen.
RESPONSE_SECONDS = read_wait_seconds(env) + 2.0

# The function that notifies workers of deliveries that may run, called with their ids after the commit. It neither
# waits nor raises. Without a notification, a worker finds a delivery in the database within seconds.
WAKE_WORKERS = "sync.execution.wakeups.notify_workers"

# With a broker, Celery replaces `run_worker`: see integration_hub/celery.py, which is imported only then.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
if CELERY_BROKER_URL:
    WAKE_WORKERS = "integration_hub.celery.send_deliveries"
CELERY_TASK_DEFAULT_QUEUE = env.str("CELERY_QUEUE", default="") or "integration_hub"
CELERY_IMPORTS = ("sync.worker.celery_tasks",)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_TIMEOUT = 4.0
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker retries for ever, and works meanwhile
CELERY_BROKER_TRANSPORT_OPTIONS = build_transport_options(CELERY_BROKER_URL)
CELERY_WORKER_CONCURRENCY = DELIVERY_THREADS
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = CELERY_WORKER_REDIRECT_STDOUTS = False
# A message expires when the next ones are due.
CELERY_BEAT_SCHEDULER = "sync.worker.beat_scheduler:HeartbeatScheduler"
CELERY_BEAT_SCHEDULE = {
    name: {"task": f"hub.{name}", "schedule": seconds, "options": {"expires": 2 * seconds}}
    for name, seconds in {"dispatch_due": 2.0, "run_periodic_work": 2.0, "run_jobs": 1.0}.items()
}

AUTHENTICATION_BACKENDS = ["integration_hub.login_backend.LimitedLoginBackend"]
# Hashes of passwords are made one at a time in each process, at a low priority: see logins/password_hasher.py.
PASSWORD_HASHERS = ["logins.password_hasher.LowPriorityHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 15}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGES = [("en", "English")]  # texts of the console are marked with gettext
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = WORKING_DIR / "var" / "static"
# After a login whose `next` is refused: it names another site.
LOGIN_REDIRECT_URL = "admin:index"
WHITENOISE_USE_FINDERS = True
# No other site needs the style sheets of the console.
WHITENOISE_ALLOW_ALL_ORIGINS = False
make_folder_private(WORKING_DIR / "var")
STATIC_ROOT.mkdir(parents=True, exist_ok=True)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

# A browser talks to the console over TLS in production; the proxy says so in this header, if it is named.
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_ENGINE = "logins.sessions"  # the table holds hashes of the keys, not the keys
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=False)
# Machines are never redirected.
SECURE_REDIRECT_EXEMPT = [r"^webhooks/", r"^outcomes/", *(rf"^{path[1:]}\Z" for path in PROBE_PATHS)]
SECURE_HSTS_SECONDS = read_number(env, "SECURE_HSTS_SECONDS", 0)
# HSTS for subdomains and for preload lists concerns other hosts of the domain: its owner decides, at the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
TLS_HEADER = env.str("TLS_HEADER", default="")
if TLS_HEADER:
    SECURE_PROXY_SSL_HEADER = (f"HTTP_{TLS_HEADER.upper().replace('-', '_')}", "https")

# The number of proxies in front of the hub that add to X-Forwarded-For. With 0, the header is ignored.
TRUSTED_PROXIES = read_number(env, "TRUSTED_PROXIES", 0, maximum=100)

# The address under which other systems reach the hub, for senders that sign it; empty if none does.
PUBLIC_URL = read_public_url(env)

# What the hub may contact: the systems of connections, token endpoints, key sets, and the receivers of alarms,
# checkpoints and mails. With nothing configured public addresses only, on a developer's machine internal ones too.
EGRESS_POLICY = read_egress_policy(env, is_development=DEBUG)

# The status for a source while nothing can be stored: 503, or 429 for sources that expect only 200 and 4xx.
UNAVAILABLE_STATUS = read_number(env, "UNAVAILABLE_STATUS", 503, minimum=200, maximum=599)

# Retention in days; 0 for ever. Open events and deliveries are kept longer. Payloads are the bodies of webhooks,
# requests, responses and changes; calls are the requests to other systems. Audit entries are deleted by whole segments.
KEEP_PAYLOADS_DAYS = read_number(env, "KEEP_PAYLOADS_DAYS", 180, maximum=36_500)
KEEP_CALLS_DAYS = read_number(env, "KEEP_CALLS_DAYS", 365, maximum=36_500)
KEEP_EVENTS_DAYS = read_number(env, "KEEP_EVENTS_DAYS", 1095, maximum=36_500)
KEEP_REFUSALS_DAYS = read_number(env, "KEEP_REFUSALS_DAYS", 90, maximum=36_500)
KEEP_ALARMS_DAYS = read_number(env, "KEEP_ALARMS_DAYS", 90, maximum=36_500)
KEEP_AUDIT_DAYS = read_number(env, "KEEP_AUDIT_DAYS", 0, maximum=36_500)

# The maximum number of stored refusals, whatever their age.
MAX_REFUSALS = read_number(env, "MAX_REFUSALS", 10_000)

# Pin each web process and worker to one core: see sync/worker/process_tuning.py.
KEEP_TO_ONE_CORE = env.bool("KEEP_TO_ONE_CORE", default=True)

# An entity that the identity service answers with 404 counts as deleted only if it was absent this much earlier too.
ABSENCE_CONFIRM_SECONDS = read_number(env, "ABSENCE_CONFIRM_SECONDS", 30.0, minimum=0.0)

# The lease of a claimed delivery: if its process dies, the subject is blocked for no longer than this.
LEASE_SECONDS = read_number(env, "LEASE_SECONDS", 40.0, minimum=0.1)

# Seconds after an attempt whose write may still arrive (a timeout, a process that died) at which the record is checked
# again, and repaired if it differs.
RECHECK_SECONDS = read_delays(env, "RECHECK_SECONDS", (60.0, 300.0, 1800.0))

# A field is left out after this many equal writes that the target did not store (0: never). At least three: the first
# may follow a change of the entity, and a target may return the old value for a moment after it.
UNKEPT_WRITES = read_limit(env, "UNKEPT_WRITES", 5, minimum=3)

# Alarms are raised if the oldest due delivery waits longer than this, if there are this many failed events (0: never),
# and if a connection is paused for longer than this.
ALARM_LATE_SECONDS = read_number(env, "ALARM_LATE_SECONDS", 300.0)
ALARM_DEAD = read_number(env, "ALARM_DEAD", 1)
ALARM_PAUSED_SECONDS = read_number(env, "ALARM_PAUSED_SECONDS", 300.0)
# An alarm is raised if this many logins fail within an hour, and ends when none has failed for a quarter of an hour
# (0: never).
ALARM_FAILED_LOGINS = read_number(env, "ALARM_FAILED_LOGINS", 50)
# An alarm is raised if the oldest unsealed audit entry is older than this (0: never).
ALARM_UNSEALED_SECONDS = read_number(env, "ALARM_UNSEALED_SECONDS", 10.0)
# An alarm is raised if the newest comparison of two systems has a difference that is older than this (0: never).
ALARM_OUT_OF_STEP_SECONDS = read_number(env, "ALARM_OUT_OF_STEP_SECONDS", 86_400.0)

# Receivers of alarms: by mail, and by a webhook that is signed by Standard Webhooks. Both are optional.
ALARM_EMAILS = env.list("ALARM_EMAILS", default=[])
ALARM_WEBHOOK_URL = env.str("ALARM_WEBHOOK_URL", default="")
ALARM_WEBHOOK_SECRET = (
    read_required(env, "ALARM_WEBHOOK_SECRET", "it signs the alarms; whsec_ and 24 bytes or more in base64")
    if ALARM_WEBHOOK_URL
    else ""
)
# The beginning of the links in alarms: the address at which people reach the console.
ALARM_LINK_BASE = env.str("ALARM_LINK_BASE", default="").rstrip("/")

# The mail server, for example smtp+tls://user:password@mail.example.com:587.
_MAIL = read_mail_server(env)
EMAIL_BACKEND = _MAIL["EMAIL_BACKEND"].replace(
    "django.core.mail.backends.smtp.EmailBackend", "integration_hub.egress.mail_backend.CheckedEmailBackend"
)
EMAIL_HOST = _MAIL["EMAIL_HOST"]
EMAIL_HOST_USER = _MAIL["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD = _MAIL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS = _MAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _MAIL.get("EMAIL_USE_SSL", False)
EMAIL_PORT = _MAIL["EMAIL_PORT"] or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
EMAIL_FILE_PATH = _MAIL["EMAIL_FILE_PATH"] or None
EMAIL_TIMEOUT = read_number(env, "EMAIL_TIMEOUT", 10.0, minimum=0.1, maximum=600)
EMAIL_SUBJECT_PREFIX = "[Integration Hub] "
_MAIL_HOST = next(
    (host.lstrip(".") for host in ALLOWED_HOSTS if "." in host and host[-1].isalpha()), "localhost"
)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", default=f"integration-hub@{_MAIL_HOST}")

# The audit log: days after which a new signing key begins (0: by command only), and where checkpoints go that prove it
# later. Without a destination, a holder of the database and the key could rewrite the log unnoticed.
AUDIT_KEY_DAYS = read_number(env, "AUDIT_KEY_DAYS", 1.0, maximum=36_500)
AUDIT_CHECKPOINT_FOLDER = env.str("AUDIT_CHECKPOINT_FOLDER", default="")
AUDIT_CHECKPOINT_EMAILS = env.list("AUDIT_CHECKPOINT_EMAILS", default=[])
AUDIT_CHECKPOINT_EMAIL_HOURS = read_number(
    env, "AUDIT_CHECKPOINT_EMAIL_HOURS", 24.0, minimum=0.1, maximum=8760
)
AUDIT_CHECKPOINT_URL = env.str("AUDIT_CHECKPOINT_URL", default="")
AUDIT_CHECKPOINT_SECRET = env.str("AUDIT_CHECKPOINT_SECRET", default="")

# Exports of the history as evidence: where they are written, for how many days they can be downloaded, and how many are
# made at once. Web processes and workers on several machines need the same folder.
EXPORT_FOLDER = env.str("EXPORT_FOLDER", default="") or str(WORKING_DIR / "var" / "exports")
EXPORT_DAYS = read_number(env, "EXPORT_DAYS", 7.0, minimum=0.01, maximum=36_500)
EXPORTS_AT_ONCE = read_number(env, "EXPORTS_AT_ONCE", 1, minimum=1, maximum=100)

# Replays of many events: how many one person may send again without a second one, how many who may replay many
# (administrators), and at what share of failures, in percent, a replay pauses by itself.
REPLAY_LIMIT = read_number(env, "REPLAY_LIMIT", 500)
REPLAY_LIMIT_ADMIN = read_number(env, "REPLAY_LIMIT_ADMIN", 5_000)
REPLAY_PAUSES_ABOVE = read_number(env, "REPLAY_PAUSES_ABOVE", 20, maximum=100)

# Exports above so many events wait for a second person. A second person must have held the permission for so many
# hours: 0 only with DEBUG on (hub.E021).
EXPORT_LIMIT = read_number(env, "EXPORT_LIMIT", 100_000)
SECOND_PERSON_HOURS = read_number(env, "SECOND_PERSON_HOURS", 24, maximum=8760)

# The kinds of jobs that workers run, by their names: see sync/jobs/running_job.py.
JOB_KINDS = {
    "export": "exports.jobs.lifecycle.EXPORT_JOB",
    "backtest": "sync.mappings.backtests.BACK_TEST",
    "relink": "sync.operations.relink_job.RELINK",
    "event-set": "sync.replays.filter_selection.EVENT_SET",
    "replay": "sync.replays.replay_job.REPLAY",
    "erasure": "sync.erasure.erase.ERASURE",
    "comparison": "sync.comparisons.comparison_job.COMPARISON",
    "match-linking": "sync.comparisons.match_linking.job.MATCH_LINKING",
    "condition-try": "sync.scope_tries.try_job.CONDITION_TRY",
    "catch-up": "sync.catch_up.catch_up_job.CATCH_UP",
}

# Further erasures of a person: functions of the id and of its pseudonym, which return the number of affected rows.
FURTHER_ERASERS = {
    "exports": "exports.jobs.erasure.erase_from_exports",
    "views": "console.events.saved_views.erase_from_saved_views",
    "captures": "sync.housekeeping.captured_requests.erase_captured_requests",
    "unusable": "sync.housekeeping.unusable_bodies.erase_unusable_bodies",
}

# The list of erasures, by pseudonyms, for whoever restores a backup. Workers on several machines need one file.
ERASURE_LIST = env.str("ERASURE_LIST", default="") or str(WORKING_DIR / "var" / "erasures.jsonl")

# What the nightly check and verify_audit compare with the audit log: functions that yield the faults that they find.
NIGHTLY_CHECKS = ("exports.row_checks.nightly_rows.find_row_faults",)

# Lets a monitor read all figures of /health (`Authorization: Bearer …`); staff may anyway.
HEALTH_TOKEN = env.str("HEALTH_TOKEN", default="")
# Lets Prometheus read /metrics (`Authorization: Bearer …`). Without it there is no such page, and nothing is measured.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# The processes of one machine share what they measure in this folder.
METRICS_FOLDER = env.str("METRICS_FOLDER", default="") or str(WORKING_DIR / "var" / "metrics")
# Where a worker serves /metrics, on a machine without a web process: an address and a port.
METRICS_LISTEN = read_listen_address(env, "METRICS_LISTEN")

# The age at which a process reads its cached sources, routes and connections again.
CONFIGURATION_SECONDS = read_number(env, "CONFIGURATION_SECONDS", 1.0, maximum=3600)

DEFAULT_EXCEPTION_REPORTER = "integration_hub.logs.error_reports.ScrubbedReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "integration_hub.logs.error_reports.ReportFilter"

# LOG_FORMAT: json, text, or auto, which is text if standard error is a terminal.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "integration_hub.logs.LineFormatter", "log_format": read_log_format(env)}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": read_log_level(env)},
    "loggers": {
        # Django's own handlers write other formats, to standard error a second time, and to mails.
        "django": {"handlers": [], "level": "INFO"},
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        "urllib3": {"level": "ERROR"},
        # It writes what it signs: queries, forms and tokens.
        "oauthlib": {"level": "WARNING"},
    },
}
