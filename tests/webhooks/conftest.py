"""Each test of sources, presets and answers looks at the sentences that settings are refused with."""

from tests.support.translation.catalogue_texts import every_refusal_is_marked

__all__ = ["every_refusal_is_marked"]
