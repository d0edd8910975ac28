"""Settings that gunicorn reads where it is started in this directory: those of the hub."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from integration_hub.web_server.gunicorn_config import (
    control_socket_disable,
    logger_class,
    preload_app,
    when_ready,
)

__all__ = ["control_socket_disable", "logger_class", "preload_app", "when_ready"]
