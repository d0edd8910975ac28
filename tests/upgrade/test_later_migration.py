"""A migration of a later release, which `tests.upgrade.later` stands in for, is carried by the tests of upgrades.

It also shows the rule for migrations: the present code works beside it, although it does not know what was added.
"""

import re
from pathlib import Path

import pytest

from tests.upgrade.past_events import OPEN
from tests.upgrade.processes import examine, run_python
from tests.upgrade.releases import restored_copy, stored_hubs

pytestmark = [pytest.mark.concurrent, pytest.mark.submission]
LATER = {"DJANGO_SETTINGS_MODULE": "tests.upgrade.later.settings"}


def test_a_later_migration_is_run_and_the_hub_works_with_it(tmp_path: Path) -> None:
    stored = stored_hubs()[-1]
    with restored_copy(stored, tmp_path) as url:
        refused = run_python(stored, tmp_path, url, "-c", "import integration_hub.wsgi", **LATER)
        assert refused.returncode == 3
        assert re.search(r"\d+ migrations? ha(s|ve) not run yet\.", refused.stderr)
        assert "then run manage.py upgrade_check and manage.py migrate." in refused.stderr
        outcomes = examine(stored, tmp_path, url, **LATER)
        added = [name for name, *_ in outcomes["schema"]["sync_delivery"]["columns"]]
        assert "later_note" in added
        assert "sync_laternote" in outcomes["schema"]
        answers = {status for pages in outcomes["pages"].values() for status in pages.values()}
        assert answers <= {200, 404}
        assert {after for who, _, after in outcomes["open"]["ended"] if who in OPEN} <= {
            "succeeded",
            "unchanged",
        }
        assert outcomes["verify_audit"][0] == 0, outcomes["verify_audit"][1]
        assert {status for status, _ in outcomes["exports"].values()} == {0}
        refused = run_python(stored, tmp_path, url, "-c", "import integration_hub.wsgi")
        assert refused.returncode == 3
        assert "This database was upgraded by Integration Hub 99.0.0" in refused.stderr
