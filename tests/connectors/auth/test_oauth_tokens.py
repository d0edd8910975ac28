"""Threads that need a token while another one fetches it: all of them share the result of that request."""

import sys
import threading
import time
import traceback
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.auth import token_cache
from connectors.contracts.errors import ConnectorError, RequestThrottled, RequestTimedOut
from connectors.contracts.types import Entity, IdentityConnector, TargetConnector
from connectors.exchange import OutgoingRequest
from tests.support.http.connectors import MemoryRecorder, identity, shop
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

_clients = count(1)


def _client() -> dict[str, str]:
    """Return credentials that no other test uses: tokens are cached in the process."""
    return {"client_id": f"waiting client {next(_clients)}", "client_secret": "hush"}


def _identity(
    url: str, credentials: dict[str, str], notebook: MemoryRecorder | None = None, deadline: float = 60.0
) -> IdentityConnector:
    return identity(url, notebook, **_oauth(credentials) | {"deadline": deadline})


def _shop(url: str, credentials: dict[str, str]) -> TargetConnector:
    return shop(url, **_oauth(credentials))


def _oauth(credentials: dict[str, str]) -> dict[str, object]:
    scheme = {"scheme": "oauth2-client-credentials"}
    return {"authentication": scheme, "credentials": credentials, "deadline": 60.0}


def _paths(service: Service) -> list[str]:
    return [seen.path for seen in service.seen]


def _waits(thread: threading.Thread) -> bool:
    """Return True if the thread waits for a token that another one fetches."""
    frame = sys._current_frames().get(thread.ident or 0)
    files = (
        [Path(caller.f_code.co_filename).name for caller, _ in traceback.walk_stack(frame)] if frame else []
    )
    return files[:1] == ["threading.py"] and "oauth_tokens.py" in files


def test_all_threads_that_wait_for_a_token_fail_after_one_request_that_times_out() -> None:
    credentials, asked, answers = _client(), threading.Event(), threading.Event()
    caught: list[ConnectorError] = []

    def hang(_: SeenRequest) -> Reply:
        asked.set()
        assert answers.wait(60)
        return Reply(429, {}, {"Retry-After": "7"})

    def need(connector: IdentityConnector | TargetConnector) -> None:
        with pytest.raises(RequestThrottled) as refused:
            connector.renew_credentials()
        caught.append(refused.value)

    with serving(hang) as service:
        many = [_identity(service.url, credentials) for _ in range(7)]
        threads = [threading.Thread(target=need, args=(connector,)) for connector in many]
        threads.append(threading.Thread(target=need, args=(_shop(service.url, credentials),)))
        threads[0].start()
        assert asked.wait(60)
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: all(_waits(thread) for thread in threads[1:]))
        answers.set()
        for thread in threads:
            thread.join()
        assert _paths(service) == ["/oauth/token"]
        assert sorted(error.side for error in caught) == ["identity"] * 7 + ["target"], "each its own"
        assert {(str(error), error.retry_after) for error in caught} == {
            ("POST /oauth/token: the token endpoint responded with 429", 7.0)
        }
        need(many[0])
        assert _paths(service) == ["/oauth/token"] * 2, "who comes later asks anew"


def test_a_thread_waits_for_a_token_no_longer_than_its_own_deadline() -> None:
    """Connections with the same credentials share a token, and may have deadlines that differ."""
    credentials, asked, answers = _client(), threading.Event(), threading.Event()

    def hang(_: SeenRequest) -> Reply:
        asked.set()
        assert answers.wait(60)
        return Reply(200, {"access_token": "t1"})

    with serving(hang) as service:
        patient = threading.Thread(target=_identity(service.url, credentials).renew_credentials)
        patient.start()
        assert asked.wait(60)
        with pytest.raises(RequestTimedOut, match=r"POST /oauth/token: no token was received after 0\.2 s"):
            _identity(service.url, credentials, deadline=0.2).renew_credentials()
        assert patient.is_alive()
        answers.set()
        patient.join()
        assert _paths(service) == ["/oauth/token"]


def test_the_next_thread_requests_the_token_if_the_first_attempt_was_stopped() -> None:
    """A recorder may stop its own attempt; this is no failure of the token endpoint."""
    credentials, stopping, stops = _client(), threading.Event(), threading.Event()
    found: list[Entity | None] = []

    class Stopped(Exception):
        pass

    class Stopping(MemoryRecorder):
        def record_request(self, request: OutgoingRequest) -> None:
            stopping.set()
            assert stops.wait(60)
            raise Stopped

    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, {"access_token": "t1"} if seen.path == "/oauth/token" else {"id": "a1"})

    def stop() -> None:
        with pytest.raises(Stopped):
            _identity(service.url, credentials, Stopping()).fetch_entity("USER", "a1")

    def fetch() -> None:
        found.append(_identity(service.url, credentials).fetch_entity("USER", "a1"))

    with serving(answer) as service:
        first, second = threading.Thread(target=stop), threading.Thread(target=fetch)
        first.start()
        assert stopping.wait(60)
        second.start()
        wait_until(lambda: _waits(second))
        stops.set()
        first.join()
        second.join()
    assert found[0] is not None
    assert _paths(service) == ["/oauth/token", "/api/users/a1"]


def test_threads_share_even_a_token_that_expires_at_once() -> None:
    credentials, asked, answers = _client(), threading.Event(), threading.Event()
    tokens = count(1)

    def answer(seen: SeenRequest) -> Reply:
        if seen.path != "/oauth/token":
            return Reply(200, {"id": "a1"})
        asked.set()
        assert answers.wait(60)
        return Reply(200, {"access_token": f"t{next(tokens)}", "expires_in": -5})

    with serving(answer) as service:
        threads = [
            threading.Thread(target=_identity(service.url, credentials).fetch_entity, args=("USER", "a1"))
            for _ in range(5)
        ]
        threads[0].start()
        assert asked.wait(60)
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: all(_waits(thread) for thread in threads[1:]))
        answers.set()
        for thread in threads:
            thread.join()
        assert sorted(_paths(service)) == ["/api/users/a1"] * 5 + ["/oauth/token"]


def test_a_token_of_a_short_life_is_used_for_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(token_cache, "time", SimpleNamespace(monotonic=lambda: now))

    def answer(seen: SeenRequest) -> Reply:
        if seen.path != "/oauth/token":
            return Reply(200, {"id": "a1"})
        return Reply(200, {"access_token": "t1", "expires_in": 20})

    with serving(answer) as service:
        connector = _identity(service.url, _client())
        for moment, requests in ((0.0, 1), (9.9, 1), (10.0, 2)):
            now = moment
            connector.fetch_entity("USER", "a1")
            assert _paths(service).count("/oauth/token") == requests


@pytest.mark.nightly
def test_a_thread_waits_no_longer_if_several_requests_follow_each_other() -> None:
    """Each of them gives the token that was refused already, and so none that helps."""
    credentials = _client()

    def answer(seen: SeenRequest) -> Reply:
        if seen.path != "/oauth/token":
            return Reply(401, {})
        time.sleep(0.3)
        return Reply(200, {"access_token": "revoked"})

    waits: list[float] = []

    def fetch() -> None:
        started = time.monotonic()
        with pytest.raises(ConnectorError):
            _identity(service.url, credentials, deadline=1.0).fetch_entity("USER", "a1")
        waits.append(time.monotonic() - started)

    with serving(answer) as service:
        threads = [threading.Thread(target=fetch) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(waits) < 3.0
