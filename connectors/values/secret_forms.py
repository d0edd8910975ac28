"""Secrets of this process, and the forms in which a text may contain them. Pure."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from connectors.values.escapes import unescape
from connectors.values.secret_windows import WindowIndex, fold

MIN_SECRET_LENGTH = 6
"""Shorter secrets are not looked for: they would be found in ordinary words and numbers."""

LONG_SECRET_LENGTH = 20
"""The search finds any part of a secret of this length, and only the beginning of a shorter one."""

# So many bytes at the beginning of a form are enough to mask it, as far as it goes.
_PREFIX_BYTES = 12
# Tokens, each with all texts that are secret because of it.
_MAX_RECENT = 4
_MAX_KNOWN = 256


class _Needle(NamedTuple):
    """A text to search for, and the forms of secrets that begin with it. `is_encoded`: in base64 or hex."""

    start: bytes
    forms: tuple[bytes, ...]
    is_encoded: bool


class SecretSet:
    """Secrets of one owner, prepared for the search. The newest of changing ones (tokens) are added as they come.

    `sent_texts` contain a secret beside public words: they are looked for from their beginning, as short secrets are.
    """

    __slots__ = ("_fixed", "_recent", "_sent_texts", "encoded_windows", "grams", "needles", "plain_windows")

    def __init__(self, secrets: Iterable[str] = (), sent_texts: Iterable[str] = ()) -> None:
        self._fixed = tuple(dict.fromkeys(secrets))
        self._sent_texts = tuple(dict.fromkeys(sent_texts))
        self._recent: tuple[tuple[str, ...], ...] = ()
        self._prepare()

    def _prepare(self) -> None:
        secrets = (*self._fixed, *chain.from_iterable(self._recent))
        short = [secret for secret in secrets if MIN_SECRET_LENGTH <= len(secret) < LONG_SECRET_LENGTH]
        long = [secret for secret in secrets if len(secret) >= LONG_SECRET_LENGTH]
        self.needles = _build_needles([*short, *self._sent_texts])
        self.plain_windows = WindowIndex(_forms_of(long, ["plain"]))
        self.encoded_windows = WindowIndex(_forms_of(long, FORMS.keys() - {"plain"}))
        # A text that has none of them contains nothing of a long secret.
        self.grams = self.plain_windows.grams | self.encoded_windows.grams

    def __repr__(self) -> str:
        return f"<SecretSet of {len(self._fixed) + sum(map(len, self._recent))}>"

    def add_recent(self, *secrets: str) -> None:
        """Add the secrets of one token, which replace those of older tokens. Those of the newest few tokens are still
        looked for.
        """
        if secrets not in self._recent:
            self._recent = (secrets, *self._recent)[:_MAX_RECENT]
            self._prepare()

    def has_same_owner(self, other: "SecretSet") -> bool:
        """Return True if both were made of the same secrets."""
        return (self._fixed, self._sent_texts) == (other._fixed, other._sent_texts)


class KnownSecrets:
    """The secrets that this process has used, for what is not about one connection: its log."""

    sets: tuple[SecretSet, ...] = ()


def remember_secrets(secrets: SecretSet) -> None:
    """Make secrets known to this process: `KnownSecrets` holds them from now on, the newest 256 sets."""
    others = [known for known in KnownSecrets.sets if not known.has_same_owner(secrets)]
    KnownSecrets.sets = (*others, secrets)[-_MAX_KNOWN:]


def _build_needles(secrets: Iterable[str]) -> tuple[_Needle, ...]:
    starts: dict[tuple[bytes, bool], set[bytes]] = {}
    for secret in secrets:
        for name in FORMS:
            for form in _forms_of([secret], [name]):
                if len(form) >= MIN_SECRET_LENGTH:
                    starts.setdefault((form[:_PREFIX_BYTES], name != "plain"), set()).add(form)
    return tuple(_Needle(start, tuple(forms), is_encoded) for (start, is_encoded), forms in starts.items())


def _forms_of(secrets: Iterable[str], names: Iterable[str]) -> set[bytes]:
    """Return secrets in these forms, folded."""
    raw = [secret.encode("utf-8", "surrogatepass") for secret in secrets]
    return {fold(form) for name in names for secret in raw for form in FORMS[name](secret)}


def _plain_forms(secret: bytes) -> set[bytes]:
    """Return a secret as it is, and with the `+` of forms for a space. Other escapes are removed from the text before
    it is searched, and from what looks like an escape in the secret itself.
    """
    once = unescape(secret)
    return {secret, secret.replace(b" ", b"+"), once, unescape(once)}


def _base64_forms(secret: bytes) -> set[bytes]:
    return {_base64_core(spelling, offset) for spelling in _spellings(secret) for offset in range(3)}


def _hex_forms(secret: bytes) -> set[bytes]:
    return {spelling.hex().encode() for spelling in _spellings(secret)}


FORMS: Mapping[str, Callable[[bytes], set[bytes]]] = {
    "plain": _plain_forms,
    "base64": _base64_forms,
    "hex": _hex_forms,
}


def _spellings(secret: bytes) -> set[bytes]:
    """Return a secret as it is, and escaped as within a JSON text or a form, which may then be encoded as a whole."""
    text = secret.decode("utf-8", "surrogatepass")
    as_json = json.dumps(text)[1:-1]
    spellings = {secret, as_json.encode(), as_json.replace("/", "\\/").encode()}
    spellings |= {json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")}
    return spellings | {quote(secret, safe="").encode(), quote_plus(secret).encode()}


def _base64_core(raw: bytes, offset: int) -> bytes:
    """Return the characters of a base64 text that depend on `raw` alone, if `offset` other bytes precede it."""
    start = -(-8 * offset // 6)
    end = 8 * (offset + len(raw)) // 6
    return b64encode(bytes(offset) + raw)[start:end]
