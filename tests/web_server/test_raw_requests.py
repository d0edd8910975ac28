"""Hundreds of requests as bytes: each is answered in JSON or accepted, and nothing else is stored."""

import pytest

from tests.support.processes.hub_processes import RunningHub
from tests.web_server.raw_client import find_faults
from tests.web_server.raw_requests import CASES
from tests.web_server.raw_requests.case import Case

pytestmark = [pytest.mark.nightly, pytest.mark.concurrent, pytest.mark.one_database]


def faults_of(hub: RunningHub, cases: list[Case]) -> dict[str, list[str]]:
    found = {str(case): list(find_faults(hub, case)) for case in cases}
    return {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize("kind", sorted({case.kind for case in CASES}))
def test_a_raw_request_gets_the_answer_of_its_class(running: RunningHub, kind: str) -> None:
    assert faults_of(running, [case for case in CASES if case.kind == kind]) == {}
    assert running.log is not None
    assert "Traceback" not in running.log.read_text()
