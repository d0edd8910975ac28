"""Labels of settings, of places in documents and of closed cards. Pure."""

from config_schema.errors import SettingPath


def label_name(name: str) -> str:
    """Return the name of a setting as a label: `token_url` as “Token url”."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def label_place(place: SettingPath) -> str:
    """Return the labels on the way to a place in a document. Numbers of lists count from 1."""
    return " › ".join(
        str(int(step) + 1) if isinstance(step, int) or step.isdecimal() else label_name(step)
        for step in place
    )
