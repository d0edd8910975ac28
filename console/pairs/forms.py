"""The form of a connection that a pair draft needs: its address, its credentials, and what its preset asks."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from config_schema.errors import SettingsInvalid
from connectors.address_check import find_blocked_address
from connectors.presets import PRESETS
from connectors.presets.questions import fill_in
from connectors.settings.authentication import credential_names
from connectors.settings.credentials import CERTIFICATE_CREDENTIALS
from console.settings.connections.forms import CREDENTIALS, ConnectionForm
from sync.models import Connection, PairDraft
from sync.pairs.planned_pair import load_connection


class PartForm(ConnectionForm):
    """Ask for the address and the credentials of one end, and for what its preset leaves open. It saves nothing:
    `part` and `credentials` are what the draft stores.
    """

    # The documents are those of the preset.
    authentication: Any = None
    settings: Any = None

    class Meta:
        model = Connection
        fields = ("base_url",)

    def __init__(self, draft: PairDraft, part: str, data: Any = None) -> None:
        self._preset_name = draft.parts[part]["preset"]
        self._preset = PRESETS[self._preset_name]
        self._answers = dict(draft.parts[part].get("answers", {}))
        instance = load_connection(draft, part) or Connection(
            side=part,
            connector=self._preset.connector,
            preset=self._preset_name,
            base_url=self._preset.base_url,
            authentication=dict(self._preset.authentication),
            settings=dict(self._preset.connector_settings),
        )
        instance.name = self._preset.label
        super().__init__(data, instance=instance, prefix=part)
        self.title, self.needs = instance.name, self._preset.needs
        self.fields["base_url"].help_text = _("See what the system needs, above, for an example.")
        self.fields["base_url"].widget.attrs["size"] = 60
        self._keep_used_credentials(instance)
        self._add_questions()

    def _keep_used_credentials(self, instance: Connection) -> None:
        stored = instance.read_credentials() or {}
        used = credential_names(instance.authentication)
        for name in (*CREDENTIALS, "clear_credentials"):
            if name not in used:
                del self.fields[name]
                continue
            is_stored = name in stored
            self.fields[name].required = not is_stored and name not in CERTIFICATE_CREDENTIALS
            if is_stored:
                self.fields[name].help_text = _("Stored. Leave empty to keep it.")
            elif not self.is_bound:
                self.fields[name].help_text = ""

    def _add_questions(self) -> None:
        for number, question in enumerate(self._preset.questions):
            if question.label:
                self.fields[f"answer_{number}"] = forms.CharField(
                    label=question.label,
                    max_length=200,
                    initial=self._answers.get(question.placeholder, ""),
                    widget=forms.TextInput(attrs={"placeholder": question.placeholder, "size": 60}),
                )

    @property
    def shown_fields(self) -> list[Any]:
        """Return the fields in the order of the page. The one that confirms unencrypted credentials is the last."""
        names = sorted(self.fields, key=lambda name: (name == "unencrypted", not name.startswith("answer_")))
        ordered = ["base_url", *(name for name in names if name != "base_url")]
        return [self[name] for name in ordered if not self[name].is_hidden]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        base_url = cleaned.get("base_url", "")
        for number, question in enumerate(self._preset.questions):
            if question.label:
                self._answers[question.placeholder] = cleaned.get(f"answer_{number}", "")
            elif base_url and question.find_value(base_url, {}) is None:
                text = _(
                    "This address must contain what stands for “%(placeholder)s”: see the example above."
                )
                self.add_error("base_url", text % {"placeholder": question.placeholder})
        documents = (self._preset.authentication, self._preset.connector_settings)
        authentication, settings = (
            fill_in(document, self._preset.questions, base_url, self._answers) for document in documents
        )
        self.instance.authentication, self.instance.settings = authentication, settings
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()
        if self.errors:
            return
        if blocked := self._find_blocked():
            self.add_error("base_url", blocked.sentence)
            return
        self.save(commit=False)
        stored = self.instance.read_credentials() or {}
        for name in credential_names(self.instance.authentication):
            if (
                name not in stored
                and self.fields[name].required is False
                and name not in CERTIFICATE_CREDENTIALS
            ):
                self.add_error(name, _("The address changed: enter it again."))

    def _find_blocked(self) -> SettingsInvalid | None:
        row = self.instance
        return find_blocked_address(row.connector, row.settings, row.authentication, row.base_url)

    def add_error(self, field: str | None, error: Any) -> None:
        """Show an error of a document, which the form does not show, at the address."""
        raised = error if isinstance(error, forms.ValidationError) else forms.ValidationError(error)
        if hasattr(raised, "error_dict"):
            for name, errors in raised.error_dict.items():
                super().add_error(name if name in self.fields else "base_url", errors)
            return
        super().add_error(field, raised)

    @property
    def part(self) -> dict[str, Any]:
        """Return what the draft stores of this end. The form is valid."""
        row = self.instance
        return {
            "preset": self._preset_name,
            "name": row.name,
            "base_url": row.base_url,
            "authentication": row.authentication,
            "settings": row.settings,
            "answers": self._answers,
        }

    @property
    def credentials(self) -> dict[str, Any]:
        """Return the credentials to store: typed ones over stored ones. The form is valid."""
        return dict(self.instance.read_credentials() or {})

    @property
    def has_typed_credentials(self) -> bool:
        """True if a credential was typed, valid or not."""
        return any(self.data.get(self.add_prefix(name)) for name in CREDENTIALS)
