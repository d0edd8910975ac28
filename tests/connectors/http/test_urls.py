"""Requests cannot leave the origin and path that were configured."""

import netrc
import socket
from pathlib import Path
from urllib.parse import unquote

import pytest

from connectors.contracts.errors import SystemUnavailable, UnreadableResponse, UnsafeRequest
from connectors.http.urls import UnsafeValueError, allowed_url_pattern, build_url, parse_base_url
from tests.support.http.connectors import MemoryRecorder, identity, shop
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

HOSTILE = [
    "", ".", "..", "...", "a.", "-.", "_.", "~a", "../x", "a/b", "a\\b", "a?b", "a#b", "%2e%2e", "a%2fb", "a b",
    "a\nb", "a\r\nX: y", "a\x00", "ä", "\u2024\u2024", "a" * 129, "//evil.test", ".hidden", "a;b", "a&b",
    "{id}", "a'b",
]  # fmt: skip


def _user(seen: SeenRequest) -> Reply:
    return Reply(200, {"id": seen.path.rpartition("/")[2]})


@pytest.mark.promise("T5")
def test_a_hostile_id_makes_no_request() -> None:
    notebook = MemoryRecorder()
    with serving(_user) as service:
        for entity_id in HOSTILE:
            with pytest.raises(UnsafeRequest) as caught:
                identity(service.url, notebook).fetch_entity("USER", entity_id)
            assert caught.value.code == "identity-unsafe-id"
            assert not entity_id or entity_id in {".", "{id}"} or entity_id not in str(caught.value)
        assert (service.seen, notebook.sent) == ([], [])


def test_every_allowed_id_arrives_as_one_segment() -> None:
    with serving(lambda seen: Reply(200, {"id": unquote(seen.path.rpartition("/")[2])})) as service:
        for entity_id in (
            "IDNUMBER1234",
            "a:b",
            "a@b",
            "a|b",
            "a+b",
            "a=b",
            "a~b",
            "a.b",
            "0",
            "_a",
            "-",
            "-Nx3",
        ):
            entity = identity(f"{service.url}/prefix").fetch_entity("USER", entity_id)
            assert entity is not None
            assert entity.id == entity_id
            assert service.seen[-1].path.startswith("/prefix/api/users/")


@pytest.mark.promise("I13", "T6")
@pytest.mark.parametrize(
    ("status", "form"),
    [(301, "{trap}/x"), (302, "//{host}/x"), (303, "/api/users/other"), (307, "{trap}/x"), (308, "{trap}/x")],
)
def test_a_redirect_is_not_followed(status: int, form: str) -> None:
    with serving(_user) as trap:
        location = form.format(trap=trap.url, host=trap.url.removeprefix("http://"))
        with serving(lambda _: Reply(status, {}, {"Location": location})) as service:
            with pytest.raises(UnreadableResponse):
                identity(service.url).fetch_entity("USER", "a1")
            assert (len(service.seen), trap.seen) == (1, [])


@pytest.mark.promise("T9")
def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login stolen password stolen\n")
    assert netrc.netrc(file).authenticators("127.0.0.1")
    with serving(_user) as trap, serving(_user) as service:
        monkeypatch.setenv("NETRC", str(file))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
        identity(service.url).fetch_entity("USER", "a1")
        assert trap.seen == []
        assert service.seen[0].headers["authorization"] == "Bearer s3cret-token"


def test_a_name_that_resolves_to_a_metadata_address_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(SystemUnavailable) as caught:
        shop("http://rebound.test").create_record("USER", {"email": "a@b.test"}, "k")
    assert not caught.value.maybe_applied


def test_an_invalid_base_url_is_refused() -> None:
    cases = [
        "", "ftp://a", "http://", "http://u:p@a", "http://a?x", "http://a#x", "http://a/../b", "http://a/%2e", "http://ä",
        "http://a\\b", "http://a b", "http://a:99999",
    ]  # fmt: skip
    for text in cases:
        with pytest.raises(ValueError, match="address"):
            parse_base_url(text)


def test_a_url_outside_the_base_url_is_refused() -> None:
    cases = [
        "http://b.test/p/u/1", "https://a.test/p/u/1", "http://a.test:81/p/u/1", "http://a.test/u/1", "http://a.test/p/u/",
        "http://a.test/p/u/..", "http://a.test/p/u/1/2", "http://a.test/p/u/%2E%2e", "http://x@a.test/p/u/1",
    ]  # fmt: skip
    for url in cases:
        base = parse_base_url("http://a.test/p")
        assert allowed_url_pattern(base, "/u/{id}").fullmatch(build_url(base, "/u/{id}", {"id": "1"}, {}))
        assert not allowed_url_pattern(base, "/u/{id}").fullmatch(url)


WIDE = frozenset(" /'")


def test_a_wide_id_stays_in_one_segment() -> None:
    cases: list[tuple[str, str]] = [
        ("gid://shop/Customer/1", "gid%3A%2F%2Fshop%2FCustomer%2F1"),
        ("O'Neil Oy", "O%27Neil%20Oy"),
        ("a", "a"),
    ]
    for value, segment in cases:
        base = parse_base_url("http://a.test/p")
        url = build_url(base, "/u/{id}/x", {"id": value}, {}, id_characters=WIDE)
        assert url == f"http://a.test/p/u/{segment}/x"
        assert allowed_url_pattern(base, "/u/{id}/x").fullmatch(url)


def test_no_id_leaves_its_segment() -> None:
    cases = [
        "", " ", ".", "..", "a/../b", "a/..", "./a", "/..", "a.", "a\nb", "a\0", "a?b", "a%2e", "ä", "a\\b", "a" * 129,
    ]  # fmt: skip
    for value in cases:
        base = parse_base_url("http://a.test/p")
        for characters in (frozenset[str](), WIDE):
            with pytest.raises(UnsafeValueError) as caught:
                build_url(base, "/u/{id}", {"id": value}, {}, id_characters=characters)
            assert not value.strip() or value not in str(caught.value)


def test_a_searched_value_that_could_leave_its_segment_is_not_sent() -> None:
    cases: list[str] = ["", "..", "a/../b", "..\\x", "a\nb", "a\0", "\u2028", "a" * 1001]
    for value in cases:
        base = parse_base_url("http://a.test/p")
        with pytest.raises(UnsafeValueError):
            build_url(base, "/u/{value}", {"value": value}, {}, searched=frozenset({"value"}))


def test_any_other_searched_value_is_escaped_into_one_segment() -> None:
    cases: list[str] = ["a+b@c.test", "O'Neil / Söder", "50 %", "x?y#z"]
    for value in cases:
        base = parse_base_url("http://a.test/p")
        url = build_url(base, "/u(mail='{value:odata}')", {"value": value}, {}, searched=frozenset({"value"}))
        assert allowed_url_pattern(base, "/u(mail='{value:odata}')").fullmatch(url)
        assert unquote(url.rpartition("/")[2]) == "u(mail='" + value.replace("'", "''") + "')"
