"""Form of a connection. Stored credentials are never shown, and a change of the origin removes them."""

from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.errors import SettingsInvalid
from connectors.address_check import list_unencrypted_hosts
from connectors.http.client_certificates import (
    MAX_CERTIFICATE_LENGTH,
    MAX_KEY_LENGTH,
    check_new_certificate,
)
from connectors.registry import SETTINGS_KINDS, find_credential_origins
from connectors.settings.authentication import AUTHENTICATION, SCHEMES, credential_names
from connectors.settings.credentials import CERTIFICATE_CREDENTIALS, SETTING_OF_CREDENTIAL
from console.document_forms.fields import DocumentField
from console.document_forms.forms import DocumentForm
from console.settings.help_texts import help_texts
from sync.models import CONNECTION_SETTINGS, Connection

CREDENTIAL_LABELS = {
    "username": gettext_lazy("Username"),
    "password": gettext_lazy("Password"),
    "token": gettext_lazy("Token"),
    "value": gettext_lazy("Header value"),
    "parameter_value": gettext_lazy("Parameter value"),
    "client_id": gettext_lazy("Client id"),
    "client_secret": gettext_lazy("Client secret"),
    "refresh_token": gettext_lazy("Refresh token"),
    "consumer_key": gettext_lazy("Consumer key"),
    "consumer_secret": gettext_lazy("Consumer secret"),
    "token_secret": gettext_lazy("Token secret"),
    "signing_key": gettext_lazy("Signing key"),
    "second_value": gettext_lazy("Second secret"),
    "client_certificate": gettext_lazy("Client certificate"),
    "client_key": gettext_lazy("Private key of the client certificate"),
}
# In the order of the form.
CREDENTIALS = tuple(CREDENTIAL_LABELS)


_HELP_TEXTS = help_texts(CONNECTION_SETTINGS)


def _secret_field(name: str) -> forms.CharField:
    attributes = {"autocomplete": "new-password", "size": 60, "data-credential": name}
    widget = forms.PasswordInput(attrs=attributes)
    # White space can be part of a password, so it is not stripped.
    return forms.CharField(
        label=CREDENTIAL_LABELS[name], required=False, strip=False, max_length=4096, widget=widget
    )


class _KeyTextarea(forms.Textarea):
    """A field of several lines that never shows what was typed, as a password field does."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        return super().get_context(name, None, attrs)


def _key_field(name: str, max_length: int = 16_384) -> forms.CharField:
    attributes = {
        "autocomplete": "off",
        "rows": 4,
        "cols": 70,
        "spellcheck": "false",
        "data-credential": name,
    }
    widget = _KeyTextarea(attrs=attributes)
    return forms.CharField(
        label=CREDENTIAL_LABELS[name], required=False, strip=False, max_length=max_length, widget=widget
    )


def _credential_help(name: str, stored: Any) -> str:
    """Say when this credential is used, and if it is stored. `stored`: None for a new connection."""
    schemes = ", ".join(f"“{scheme}”" for scheme, names in SCHEMES.items() if name in names)
    text = _("Used by authentication: %(schemes)s.") % {"schemes": schemes}
    if name in SETTING_OF_CREDENTIAL:
        text = _("Used if the authentication has “%(setting)s”.") % {"setting": SETTING_OF_CREDENTIAL[name]}
    if stored is None:
        return text
    state = _("Stored. Leave empty to keep it.") if name in stored else _("Not set.")
    return f"{text} {state}"


def _unencrypted_hosts(connection: Connection) -> list[str]:
    """Return the hosts of other computers that get credentials over http; none if the settings are invalid."""
    try:
        return list_unencrypted_hosts(connection.authentication, connection.base_url)
    except SettingsInvalid:
        return []


def _typed_help(help_text: str) -> SafeString:
    """Return the help text of a credential that was typed into a form that is shown again, without it."""
    reminder = _("Enter it again before you save: what you type here is never shown.")
    return format_html('<strong class="reminder">{}</strong> {}', reminder, help_text)


# By the name of the connector: the page of the reference.
_SETTINGS_PAGES = {"rest-identity": "identity-connection", "rest-target": "target-connection"}


def _chosen_connector(form: forms.BaseForm) -> str:
    return str(form["connector"].value()) if "connector" in form.fields else ""


def _settings_kind(form: forms.BaseForm) -> Any:
    """Return the kind of the settings of the connector that the form chooses; None if it chooses none."""
    return SETTINGS_KINDS.get(_chosen_connector(form))


class ConnectionForm(DocumentForm):
    """Form for a connection. `has_dropped_credentials`: stored credentials were removed because the origin changed."""

    base_url = forms.URLField(
        label=gettext_lazy("Base URL"),
        max_length=300,
        assume_scheme="https",
        help_text=_HELP_TEXTS["base_url"],
    )
    authentication = DocumentField(
        kind=AUTHENTICATION,
        renders_again=True,
        reference="authentication",
        label=gettext_lazy("Authentication"),
        help_text=_HELP_TEXTS["authentication"],
    )
    settings = DocumentField(
        kind=_settings_kind,
        reference=lambda form: _SETTINGS_PAGES.get(_chosen_connector(form), "target-connection"),
        label=gettext_lazy("Settings"),
        help_text=_HELP_TEXTS["settings"],
    )
    username = _secret_field("username")
    password = _secret_field("password")
    token = _secret_field("token")
    value = _secret_field("value")
    parameter_value = _secret_field("parameter_value")
    client_id = _secret_field("client_id")
    client_secret = _secret_field("client_secret")
    refresh_token = _secret_field("refresh_token")
    consumer_key = _secret_field("consumer_key")
    consumer_secret = _secret_field("consumer_secret")
    token_secret = _secret_field("token_secret")
    signing_key = _key_field("signing_key")
    second_value = _secret_field("second_value")
    client_certificate = _key_field("client_certificate", MAX_CERTIFICATE_LENGTH)
    client_key = _key_field("client_key", MAX_KEY_LENGTH)
    clear_credentials = forms.BooleanField(
        label=gettext_lazy("Remove the stored credentials"), required=False
    )
    # Visible once it is needed.
    unencrypted = forms.CharField(
        label=gettext_lazy("Send credentials unencrypted to"), required=False, widget=forms.HiddenInput
    )

    has_dropped_credentials = False

    class Meta:
        model = Connection
        exclude = ("credentials",)
        labels: ClassVar = {
            "slug": gettext_lazy("Slug"),
            "base_url": gettext_lazy("Base URL"),
            "side": gettext_lazy("Role"),
            "connector": gettext_lazy("Connector"),
            "is_enabled": gettext_lazy("Enabled"),
            "deadline_seconds": gettext_lazy("Timeout (seconds)"),
            "byte_cap": gettext_lazy("Maximum response size (bytes)"),
            "relays_sentences": gettext_lazy("Pass on the system’s error messages"),
            "concurrency": gettext_lazy("Concurrency"),
            "requests_per_second": gettext_lazy("Rate limit (per second)"),
            "catch_up_minutes": gettext_lazy("Catch up every (minutes)"),
            "breaker_failures": gettext_lazy("Stop sending after failures"),
            "breaker_seconds": gettext_lazy("First check after (seconds)"),
        }
        help_texts = _HELP_TEXTS
        widgets: ClassVar = {
            "connector": forms.Select(attrs={"data-document-of-choice": "document-settings"})
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Read before the form changes the addresses that they are bound to. None: they cannot be decrypted.
        self._stored = self.instance.read_credentials()
        stored = None if self.instance.pk is None else self._stored or {}
        self._origins = find_credential_origins(self.instance.base_url, self.instance.authentication)
        self._confirmed_hosts = _unencrypted_hosts(self.instance) if self._stored else []
        for name in CREDENTIALS:
            if name in self.fields:
                help_text = _credential_help(name, stored)
                # Seen only if the form is shown again: it was checked or refused.
                is_typed = self.is_bound and self.data.get(self.add_prefix(name))
                self.fields[name].help_text = _typed_help(help_text) if is_typed else help_text

    def shown_credentials(self) -> frozenset[str]:
        """Return the names of the credentials that the authentication uses as it is shown, and of those with errors."""
        return frozenset(credential_names(self.shown_document("authentication"))) | self.errors.keys()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        authentication = cleaned.get("authentication")
        if isinstance(authentication, dict):
            self._reject_unused_credentials(credential_names(authentication))
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            self._check_client_certificate()
            self._require_confirmation()

    def _require_confirmation(self) -> None:
        """Ask for the name of each host to which credentials will be sent over http, unless they already are."""
        hosts = self.list_unconfirmed_hosts()
        if not hosts:
            return
        self.fields["unencrypted"].widget = forms.TextInput(attrs={"autocomplete": "off", "size": 60})
        typed = self.cleaned_data.get("unencrypted", "").lower().replace(",", " ").split()
        if sorted(typed) != sorted(hosts):
            text = _(
                "With http://, anyone in the network can read the credentials. Use https://, or type %(hosts)s here to "
                "confirm."
            )
            self.add_error("unencrypted", text % {"hosts": " ".join(hosts)})

    def _check_client_certificate(self) -> None:
        """Check a certificate or key that was typed, together with the other one if that is stored."""
        if not any(self.cleaned_data.get(name) for name in CERTIFICATE_CREDENTIALS):
            # A stored one that has expired must not keep other settings from being saved.
            return
        merged = self._merge_credentials()
        certificate, key = (merged.get(name, "") for name in CERTIFICATE_CREDENTIALS)
        try:
            check_new_certificate(certificate, key, timezone.now())
        except SettingsInvalid as invalid:
            self.add_error(str(invalid.place[-1]), invalid.sentence)

    def _reject_unused_credentials(self, names: tuple[str, ...]) -> None:
        for name in CREDENTIALS:
            if self.cleaned_data.get(name) and name not in names:
                self.add_error(name, _("The authentication selected above does not use this."))

    def save(self, commit: bool = True) -> Any:
        merged = self._merge_credentials()
        # Unreadable ones stay as they are: the addresses for which they were entered may come back, or their key.
        if merged or self._stored is not None or self.cleaned_data.get("clear_credentials"):
            self.instance.credentials = merged or None
        return super().save(commit)

    def missing_credentials(self) -> list[str]:
        """Return the labels of the credentials that the authentication needs and that are not stored."""
        stored = self.instance.read_credentials() or {}
        needed = credential_names(self.instance.authentication)
        return [str(CREDENTIAL_LABELS[name]) for name in needed if name not in stored]

    def secret_changes(self) -> list[str]:
        """Return a sentence for each new or removed credential, without its value. Needs a validated form."""
        stored, merged = self._stored or {}, self._merge_credentials()
        changed = [name for name in CREDENTIALS if stored.get(name) != merged.get(name)]
        new, removed = _("%(name)s: new value"), _("%(name)s: removed")
        sentences = [
            (new if name in merged else removed) % {"name": CREDENTIAL_LABELS[name]} for name in changed
        ]
        if self._stored is None and (merged or self.cleaned_data.get("clear_credentials")):
            sentences.append(_("The stored credentials, which cannot be decrypted: removed"))
        return sentences

    def list_unconfirmed_hosts(self) -> list[str]:
        """Return the hosts to which this change would be the first to send credentials over http."""
        hosts = _unencrypted_hosts(self.instance) if self._merge_credentials() else []
        return [host for host in hosts if host not in self._confirmed_hosts]

    def _merge_credentials(self) -> dict[str, str]:
        """Return the credentials to store: typed ones over stored ones, and no stored ones if the origin changed."""
        names = credential_names(self.instance.authentication)
        # Fields of other authentication schemes are ignored; `clean` has refused them.
        typed = {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)}
        stored = dict(self._stored or {})
        # Credentials must never be sent to another origin than the one that they were entered for.
        if self._origins != find_credential_origins(self.instance.base_url, self.instance.authentication):
            self.has_dropped_credentials = bool(stored)
            stored = {}
        if self.cleaned_data.get("clear_credentials"):
            stored = {}
        return {name: value for name, value in stored.items() if name in names} | typed
