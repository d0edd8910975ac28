"""The scheduler of Celery's beat: in memory, so that it needs no file but that of its heartbeat."""

from typing import Any

from celery.beat import Scheduler

from sync.worker.heartbeat import make_heartbeat


class HeartbeatScheduler(Scheduler):  # type: ignore[misc]
    """Celery's own scheduler, which also shows that it makes its rounds."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heartbeat = make_heartbeat()

    def tick(self, *arguments: Any, **options: Any) -> Any:
        """Send what is due. Returns the seconds until the next round."""
        self._heartbeat.beat()
        return super().tick(*arguments, **options)
