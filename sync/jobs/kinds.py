"""The job kinds that JOB_KINDS names."""

from collections.abc import Mapping
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from sync.jobs.running_job import JobKind


@cache
def job_kind(name: str) -> JobKind:
    """Return the kind of this name, and load only its modules. Raises KeyError if this version of the hub has none."""
    kind: JobKind = import_string(settings.JOB_KINDS[name])
    return kind


def job_kinds() -> Mapping[str, JobKind]:
    """Return all kinds by their names."""
    return {name: job_kind(name) for name in settings.JOB_KINDS}
