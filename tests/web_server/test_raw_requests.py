"""Hundreds of kinds of requests as bytes: each is answered in JSON or accepted, and nothing else is stored."""

import itertools

import pytest

from tests.support.processes.hub_processes import RunningHub
from tests.web_server.conftest import StartHub
from tests.web_server.raw_client import find_faults
from tests.web_server.raw_requests import CASES
from tests.web_server.raw_requests.case import Case

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

# What gunicorn's own worker gets wrong. Cases that it never answers are left out: they would take their time.
CAUGHT = {
    "line", "method", "version", "header name", "control character", "folded", "prefix", "chunk size", "chunk extension", "trailer", "cut off",
    "length", "coding", "long header", "too many headers", "expectation", "long line",
}  # fmt: skip


def faults_of(hub: RunningHub, cases: list[Case]) -> dict[str, list[str]]:
    found = {str(case): list(find_faults(hub, case)) for case in cases}
    return {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize("kind", sorted({case.kind for case in CASES}))
def test_a_raw_request_gets_the_answer_of_its_class(running: RunningHub, kind: str) -> None:
    assert faults_of(running, [case for case in CASES if case.kind == kind]) == {}
    assert running.log is not None
    assert "Traceback" not in running.log.read_text()


def test_there_are_hundreds_of_kinds() -> None:
    assert len({case.data for case in CASES}) >= 700


def test_the_worker_of_gunicorn_itself_is_caught(start_hub: StartHub) -> None:
    of_kind = {kind: list(cases) for kind, cases in itertools.groupby(CASES, key=lambda case: case.kind)}
    with start_hub("gthread") as hub:
        wrong = {kind for kind in CAUGHT if faults_of(hub, of_kind[kind][:1])}
        assert wrong == CAUGHT
