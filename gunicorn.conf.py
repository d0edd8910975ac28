"""Settings that gunicorn reads where it is started in this directory: its lines have the format of the hub's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from integration_hub.web_server.gunicorn_config import logger_class

__all__ = ["logger_class"]
