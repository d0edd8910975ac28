"""The WSGI entry point of the production server. It refuses to start with unsafe settings or another schema."""

import os

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from database.private_files import make_new_files_private
from integration_hub.checks import check_database_or_exit

make_new_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
application = get_wsgi_application()

_serious_messages = [message for message in checks.run_checks() if message.is_serious()]
if _serious_messages:
    raise ImproperlyConfigured(
        "; ".join(f"{message.msg} {message.hint or ''} ({message.id})" for message in _serious_messages)
    )

check_database_or_exit()
