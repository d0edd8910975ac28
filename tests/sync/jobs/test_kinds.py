"""The kinds of jobs that the settings name."""

from sync.jobs.kinds import job_kinds


def test_each_kind_has_the_name_that_the_settings_give_it() -> None:
    """A job is submitted by the name of its kind, and a worker looks for that of the settings."""
    kinds = job_kinds()
    assert {name: kind.name for name, kind in kinds.items()} == {name: name for name in kinds}
