"""What does a log line look like, and what must it not contain?"""

from integration_hub.logs.line_formatter import LineFormatter

__all__ = ["LineFormatter"]
