"""Addresses, query strings and forms that no page links to, made of the pages' own words with a seed."""

import random
import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

from django.contrib import admin
from django.urls import URLPattern, URLResolver
from django.urls.converters import IntConverter, UUIDConverter
from django.urls.resolvers import RoutePattern

# What no form of the console offers, in the place of a key, a word or a time.
ODD_TEXTS = (
    "99999999999999999999",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 400,
    "-1",
    "1_0",
    "٣",
    "1e400",
    "NaN",
    "0000-01-01",
    "9999-12-31T23:59:59",
    "9999-12-31T23:59:59-14:00",
    "9999-99-99T99:99",
    "0001-01-01T00:00:00+14:00",
    "2026-02-30",
    "\0",
    "a\0b",
    "%00",
    "\ud800",
    "ﬁ" * 100,
    "'\"<>&;--",
    "a" * 4_000,
    "a," * 2_000,
    "[[{",
    "../../etc",
    "00000000-0000-0000-0000-000000000000",
    "",
)
ODD_KEYS = ("99999999999999999999", "9223372036854775808")
ODD_NAMES = (*ODD_KEYS, "9" * 400, "\0", "\ud800", "a" * 4_000)
MAX_QUERY = 4_000


def quoted(text: str) -> str:
    """Return a text as part of an address, a lone surrogate as its three bytes."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def routes() -> Iterator[tuple[str, Sequence[Any]]]:
    """Iterate over the routes of the console as (template with `{}` for each argument, converters)."""
    yield from _routes(admin.site.get_urls(), "/admin/", ())


def _routes(patterns: Any, prefix: str, converters: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    for pattern in patterns:
        if not isinstance(pattern.pattern, RoutePattern):
            continue
        template = prefix + re.sub(r"<[^>]+>", "{}", str(pattern.pattern))
        all_converters = (*converters, *pattern.pattern.converters.values())
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, template, all_converters)
        elif isinstance(pattern, URLPattern):
            yield template, all_converters


def odd_addresses() -> Iterator[str]:
    """Iterate over all addresses with arguments, with odd values for each of them."""
    for template, converters in routes():
        if not converters:
            continue
        for number in range(max(len(_odd_values(converter)) for converter in converters)):
            values = [
                _odd_values(converter)[number % len(_odd_values(converter))] for converter in converters
            ]
            yield template.format(*map(quoted, values))


def _odd_values(converter: Any) -> Sequence[str]:
    if isinstance(converter, UUIDConverter):
        return (str(UUID(int=0)),)
    return ODD_KEYS if isinstance(converter, IntConverter) else ODD_NAMES


def plain_addresses() -> list[str]:
    """Return all addresses without arguments."""
    return [template for template, converters in routes() if not converters and "logout" not in template]


def words_of_page(page: str) -> dict[str, list[str]]:
    """Return the parameters that a page links to or asks for, each with the values that it names."""
    words: dict[str, list[str]] = {}
    for query in re.findall(r'href="[^"]*?\?([^"#]+)"', page):
        for name, value in parse_qsl(unescape(query)):
            words.setdefault(name, []).append(value)
    for tag in re.findall(r"<(?:input|select|textarea|button)\b[^>]*>", page):
        name = re.search(r'\bname="([^"]+)"', tag)
        if name:
            value = re.search(r'\bvalue="([^"]*)"', tag)
            words.setdefault(unescape(name[1]), []).append(unescape(value[1]) if value else "")
    return {name: list(dict.fromkeys(values)) for name, values in words.items()}


def odd_queries(words: dict[str, list[str]], seed: random.Random, count: int) -> Iterator[str]:
    """Iterate over query strings of at most 4 KB, made of these words: for each parameter a word repeated, all of them
    in a list, an odd text, and then some of everything.
    """
    for name, values in words.items():
        known = [value for value in values if value] or ["a"]
        yield _query([(name, ",".join(_fill(known, seed)))])
        yield _query([(name, value) for value in _fill(known, seed)][:200])
        yield _query([(name, seed.choice(ODD_TEXTS))])
    for _ in range(count):
        chosen = seed.sample(sorted(words), min(len(words), 4))
        yield _query([(name, seed.choice([*words[name], *ODD_TEXTS])) for name in chosen])


def _fill(values: list[str], seed: random.Random) -> list[str]:
    repeated = seed.random() < 0.5
    one = seed.choice(values)
    return [one if repeated else seed.choice(values) for _ in range(MAX_QUERY // (max(map(len, values)) + 1))]


def _query(pairs: list[tuple[str, str]]) -> str:
    return urlencode(
        [(name, value.encode("utf-8", "surrogatepass")) for name, value in pairs if value is not None]
    )[:MAX_QUERY]


def forms_of_page(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Iterate over the forms of a page that post: (address, empty for the page's own; fields with their values)."""
    for tag, content in re.findall(r"<form\b([^>]*)>(.*?)</form>", page, re.DOTALL):
        if 'method="post"' not in tag:
            continue
        action = re.search(r'action="([^"]*)"', tag)
        fields = {name: values[0] for name, values in words_of_page(content).items()}
        yield unescape(action[1]) if action else "", fields
