"""Allow one log-in at a time with the same credentials, over all processes, and none after a refusal."""

from django.db.models import Q
from django.utils import timezone

from connectors.auth.log_in_guard import LogInPermission
from database.clock import database_now
from sync.models import LogInAttempt


class StoredGuard:
    """`connectors.auth.log_in_guard.LogInGuard` in the database."""

    def claim_log_in(self, key: str, seconds: float, *, is_forced: bool) -> LogInPermission:
        """Claim the only log-in of these credentials for `seconds`.

        1. Insert the row if there is none.
        2. Mark it as busy, unless another process logs in, or the credentials were refused and no person asked.
        3. If that failed, read why.
        """
        digest = LogInAttempt.digest_key(key)
        LogInAttempt.objects.bulk_create([LogInAttempt(key=digest)], ignore_conflicts=True)
        free = Q(busy_until__isnull=True) | Q(busy_until__lte=database_now())
        if not is_forced:
            free &= Q(refused_at__isnull=True)
        # By the database's clock: the row may have been marked by another machine.
        until = database_now(plus_seconds=seconds)
        if LogInAttempt.objects.filter(free, pk=digest).update(busy_until=until):
            return LogInPermission.GRANTED
        is_refused = LogInAttempt.objects.filter(pk=digest, refused_at__isnull=False).exists()
        # The row may have been deleted by a log-in that has just succeeded.
        return LogInPermission.REFUSED if is_refused and not is_forced else LogInPermission.BUSY

    def finish_log_in(self, key: str, *, is_refused: bool | None) -> None:
        """End a claimed log-in: refused or accepted; None if the system did not decide."""
        row = LogInAttempt.objects.filter(pk=LogInAttempt.digest_key(key))
        if is_refused:
            row.update(busy_until=None, refused_at=timezone.now())
        elif is_refused is None:
            # A refusal from before a person tested the connection stays.
            row.update(busy_until=None)
        else:
            row.delete()
