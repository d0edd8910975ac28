"""The form of a connection: credentials go in and never come out, and another origin lets go of them."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from sync.connectors.credentials import SCHEMES, parse_authentication
from sync.connectors.registry import credential_names
from sync.connectors.settings import SettingsInvalid
from sync.connectors.urls import parse_base_url
from sync.models import Connection

CREDENTIALS = tuple(dict.fromkeys(name for names in SCHEMES.values() for name in names))


def _secret_field(name: str) -> forms.CharField:
    schemes = ", ".join(scheme for scheme, names in SCHEMES.items() if name in names)
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60})
    label = f"{name.replace('_', ' ')} ({schemes})"
    return forms.CharField(label=label, required=False, strip=False, max_length=4096, widget=widget)


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """`dropped` says that stored credentials were removed because the origin changed."""

    base_url = forms.URLField(
        label="Base URL",
        max_length=300,
        assume_scheme="https",
        help_text="Scheme, host, port and path that every request begins with. Another scheme, host or port "
        "removes the stored credentials, unless new ones are typed in the same save.",
    )
    username = _secret_field("username")
    password = _secret_field("password")
    token = _secret_field("token")
    value = _secret_field("value")
    client_id = _secret_field("client_id")
    client_secret = _secret_field("client_secret")
    clear_credentials = forms.BooleanField(label="remove the stored credentials", required=False)

    dropped = False

    class Meta:
        model = Connection
        exclude = ("credentials",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.credentials or {}
        self._origins = _origins(self.instance.base_url, self.instance.authentication)
        for name in CREDENTIALS:
            if name in self.fields:
                state = "stored; leave empty to keep it" if name in stored else "not stored"
                self.fields[name].help_text = state

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        authentication = cleaned.get("authentication")
        if isinstance(authentication, dict):
            self._refuse_strangers(credential_names(authentication))
        return cleaned

    def _refuse_strangers(self, names: tuple[str, ...]) -> None:
        for name in CREDENTIALS:
            if self.cleaned_data.get(name) and name not in names:
                self.add_error(name, "The authentication that is chosen above does not use this.")

    def save(self, commit: bool = True) -> Any:
        self.instance.credentials = self._credentials() or None
        return super().save(commit)

    def secret_changes(self) -> list[str]:
        """Which credentials are new or removed, in words and without a value; after the form was validated."""
        stored, coming = self.instance.credentials or {}, self._credentials()
        changed = [name for name in CREDENTIALS if stored.get(name) != coming.get(name)]
        new, removed = _("%(name)s: a new value"), _("%(name)s: removed")
        return [(new if name in coming else removed) % {"name": name.replace("_", " ")} for name in changed]

    def _credentials(self) -> dict[str, str]:
        """What is kept of the old ones, and what was typed."""
        names = credential_names(self.instance.authentication)
        typed = {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)}
        stored = dict(self.instance.credentials or {})
        if self._origins != _origins(self.instance.base_url, self.instance.authentication):
            self.dropped = bool(stored)
            stored = {}
        if self.cleaned_data.get("clear_credentials"):
            stored = {}
        return {name: value for name, value in stored.items() if name in names} | typed


def _origins(base_url: str, authentication: Any) -> tuple[str, ...]:
    """Where credentials go: the system itself, and the address that gives out tokens."""
    try:
        base = parse_base_url(base_url)
        token_base = parse_authentication(authentication, base).token_base
    except (ValueError, SettingsInvalid):
        return ()
    return (base.origin, token_base.origin) if token_base else (base.origin,)
