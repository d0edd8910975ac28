"""Jobs of two kinds that do nothing but what a test wants."""

from tests.support.job_kinds import recorder

__all__ = ["recorder"]
