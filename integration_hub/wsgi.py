"""The WSGI entry point of the production server. It refuses to start with unsafe settings or another schema."""

import os
import sys

from django.core.wsgi import get_wsgi_application

from database.private_files import make_new_files_private
from integration_hub.checks import check_database_or_exit
from integration_hub.start_refusals import EXIT_CODE, describe_unsafe_settings, settings_or_exit

make_new_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
with settings_or_exit():
    application = get_wsgi_application()

if _refusals := describe_unsafe_settings():
    print(*_refusals, sep="\n", file=sys.stderr)
    sys.exit(EXIT_CODE)

check_database_or_exit()
