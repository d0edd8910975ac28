"""Support for tests of translation: a language in which each translated text is marked."""
