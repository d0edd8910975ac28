"""gunicorn's settings for the hub (`--config python:integration_hub.web_server.gunicorn_config`): the lines of its log
have the format of the hub's, and the web processes share the memory of what the master has loaded. In a checkout,
`gunicorn.conf.py` names them.
"""

import os
from typing import Any

import environ  # type: ignore[import-untyped]
from gunicorn.glogging import Logger

from integration_hub.environment import read_env_file, read_log_format
from integration_hub.logs.line_formatter import LineFormatter
from sync.worker.process_tuning import freeze_loaded_objects


class HubLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger with the lines of the hub."""

    def _set_handler(self, log: Any, output: Any, fmt: Any, stream: Any = None) -> None:
        env = environ.Env()
        # The master reads no Django settings; its workers do, from the same file.
        read_env_file(os.environ.get("HUB_ENV_FILE", ".env"))
        super()._set_handler(log, output, LineFormatter(read_log_format(env)), stream)


def when_ready(server: Any) -> None:
    """Let the web processes share what the master has loaded for as long as possible."""
    freeze_loaded_objects()


logger_class = HubLogger
preload_app = True
# Nothing uses it, and all hubs of one user would share its path, which is in the home of that user.
control_socket_disable = True
