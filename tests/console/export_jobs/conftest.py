"""Every export of these tests is written below the test's own folder."""

from tests.support.export_folder import exports

__all__ = ["exports"]
