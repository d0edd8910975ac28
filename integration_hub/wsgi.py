"""The WSGI entry point that the production server loads. It refuses to start with settings that are not safe."""

import os

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from sync.cores import keep_to_one_core
from sync.loaded import keep_what_is_loaded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
application = get_wsgi_application()

_serious = [message for message in checks.run_checks() if message.is_serious()]
if _serious:
    raise ImproperlyConfigured(
        "; ".join(f"{message.msg} {message.hint or ''} ({message.id})" for message in _serious)
    )

keep_what_is_loaded()
keep_to_one_core()
