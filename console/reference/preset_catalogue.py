"""The catalogue of presets: every known system, whether it sends webhooks, is fetched from or is written to."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from config_schema.preset_files import PresetMetadata
from connectors.presets import PRESETS, ConnectionPreset
from connectors.presets.meanings import MEANINGS
from connectors.registry import CONNECTOR_SIDES
from webhooks.presets.source_presets import SOURCE_PRESETS, SourcePreset

MAX_SEARCH_LENGTH = 100
SOURCE, IDENTITY, TARGET = "source", "identity", "target"
# By the name of the kind, in the order of the filter.
KINDS: Mapping[str, Promise] = {
    SOURCE: _("Source"),
    IDENTITY: _("Identity connection"),
    TARGET: _("Target connection"),
}


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One preset. `kind`: a key of KINDS."""

    kind: str
    name: str
    metadata: PresetMetadata

    @property
    def kind_label(self) -> Promise:
        return KINDS[self.kind]

    @property
    def add_page(self) -> str:
        """The name of the page whose form the preset fills in."""
        return "admin:webhooks_source_add" if self.kind == SOURCE else "admin:sync_connection_add"

    @property
    def permission(self) -> str:
        """The permission that the page asks for."""
        return "webhooks.add_source" if self.kind == SOURCE else "sync.add_connection"

    @property
    def time_limit_seconds(self) -> int | None:
        """The seconds that the sender of a source preset waits for an answer; None if that is not known."""
        return self.metadata.time_limit_seconds if isinstance(self.metadata, SourcePreset) else None

    @property
    def values(self) -> list[tuple[str, str]]:
        """The labels of what an identity service provides, or of the fields that a target accepts, by entity type."""
        if not isinstance(self.metadata, ConnectionPreset):
            return []
        provided = {
            entity_type: [MEANINGS[meaning].label for meaning in places]
            for entity_type, places in self.metadata.provides.items()
        }
        accepted = {
            entity_type: [field.label for field in fields]
            for entity_type, fields in self.metadata.accepts.items()
        }
        described = provided | accepted
        return [(name, ", ".join(labels)) for name, labels in described.items()]

    def has_words(self, words: list[str]) -> bool:
        """Return True if the preset has all these words, in lower case, in its name, its needs or its address."""
        metadata = self.metadata
        texts = (self.name, metadata.label, metadata.page, *metadata.needs)
        searched = "\n".join(texts).casefold()
        return all(word in searched for word in words)


def list_entries(kind: str = "", search: str = "") -> list[CatalogueEntry]:
    """Return the presets by label. `kind`: only those, "" for all; `search`: words that all must occur; what is beyond
    100 characters is not read.
    """
    entries = [
        *(CatalogueEntry(SOURCE, name, preset) for name, preset in SOURCE_PRESETS.items()),
        *(
            CatalogueEntry(CONNECTOR_SIDES[preset.connector], name, preset)
            for name, preset in PRESETS.items()
        ),
    ]
    words = search[:MAX_SEARCH_LENGTH].casefold().split()
    shown = [entry for entry in entries if kind in ("", entry.kind) and entry.has_words(words)]
    return sorted(shown, key=_by_label)


def _by_label(entry: CatalogueEntry) -> tuple[str, str]:
    return entry.metadata.label.casefold(), entry.kind
