"""The job kinds that JOB_KINDS names."""

from collections.abc import Mapping
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from sync.jobs.running_job import JobKind


@cache
def job_kinds() -> Mapping[str, JobKind]:
    """Return all kinds by their names."""
    kinds: list[JobKind] = [import_string(dotted) for dotted in settings.JOB_KINDS]
    return {kind.name: kind for kind in kinds}
