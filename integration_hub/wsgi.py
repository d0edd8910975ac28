"""The WSGI entry point that the production server loads. It refuses to start with settings that are not safe."""

import os
import sys

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.core.wsgi import get_wsgi_application

from integration_hub.schema_version import check_schema_at_start
from sync.worker.process_tuning import freeze_loaded_objects, pin_to_one_core

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
application = get_wsgi_application()

_serious = [message for message in checks.run_checks() if message.is_serious()]
if _serious:
    raise ImproperlyConfigured(
        "; ".join(f"{message.msg} {message.hint or ''} ({message.id})" for message in _serious)
    )

try:
    check_schema_at_start()
except CommandError as refusal:
    print(refusal, file=sys.stderr)
    sys.exit(3)  # by this code gunicorn knows that a start was refused, and does not repeat it

freeze_loaded_objects()
pin_to_one_core()
