"""Who leaves the scope of a route and comes back is no fault of the rows: the log says why a record was deleted, and a
link ended.
"""

from pathlib import Path

import pytest

from exports.bundle.shipped import check_rows
from exports.row_checks.nightly_rows import find_row_faults
from sync.models import Attempt, Route
from tests.support.builders.exports import a_finished_export, unpack_export
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.concurrent


def be(hub: Hub, department: str) -> None:
    """Change the department of a person, report it, and let the delivery end."""
    hub.identity.directory.update_record("users", ANNA, {"department": department}, replaces=False)
    assert hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}).status_code == 200


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize("policy", [Route.LeavingPolicy.DELETE, Route.LeavingPolicy.UNLINK])
def test_leaving_and_coming_back_is_no_fault_of_the_rows(hub: Hub, tmp_path: Path, policy: str) -> None:
    """Holds the proof of a deletion without a deleted entity, and the second record after an unlinked one."""
    routes = Route.objects.filter(source__slug="aurora", entity_type="USER")
    routes.update(condition="entity.department == 'staff'", on_leaving=policy, matching="never")
    for department in ("staff", "guest"):
        be(hub, department)
    # It is not found again, so that a second record is created.
    if customer := hub.customer():
        hub.shop.catalogue.update_record(
            "customers", str(customer["id"]), {"external_id": "", "email": "old@example.com"}, replaces=False
        )
    be(hub, "staff")
    assert Attempt.objects.latest("pk").action == "created"
    assert list(find_row_faults()) == []
    checker = check_rows.RowChecker(str(unpack_export(a_finished_export({}), tmp_path / "whole")))
    assert list(checker.check_export()) == []
