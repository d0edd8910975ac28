"""Write the reference as Markdown and JSON Schema."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import override

from console.reference.json_schemas import DOCUMENTS, make_schema
from console.reference.pages import PAGES, ReferencePage
from console.reference.preset_catalogue import KINDS, CatalogueEntry, list_entries
from console.ui.setting_entries import SettingEntry, SettingSection

GENERATED = "<!-- Written by `make docs` from the code that reads the settings. Do not edit. -->"
_MAX_EXAMPLE_LENGTH = 120


def write_reference(folder: Path) -> list[Path]:
    """Write all files of the reference, delete those that are no longer made, and return what it wrote."""
    files = make_reference()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in [*folder.glob("*.md"), *folder.glob("schemas/*.json")]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    return [folder / name for name in files]


def make_reference() -> dict[str, str]:
    """Return the text of each file of the reference, by its path in the folder."""
    with override("en"):
        pages = [make_page() for make_page in PAGES.values()]
        return {
            "README.md": _join_blocks(_index_lines(pages)),
            **{f"{page.name}.md": _join_blocks(_page_lines(page)) for page in pages},
            "presets.md": _join_blocks(_preset_lines()),
            **{f"schemas/{name}.json": _encode_schema(make_schema(name)) for name in DOCUMENTS},
        }


def _index_lines(pages: Iterable[ReferencePage]) -> Iterator[str]:
    yield "# Configuration reference"
    yield GENERATED
    yield (
        "Every setting of the hub that is entered in the console: its meaning, type, limits, default and an example. "
        "[connect.md](../connect.md) shows step by step how they are used. The console has the same pages "
        "under *Reference*."
    )
    yield _format_table(
        ("page", "about"),
        [
            *(
                (f"[{page.title}]({page.name}.md)", page.intro.partition(". ")[0].rstrip("."))
                for page in pages
            ),
            ("[Presets](presets.md)", "Known systems, what each needs, and how far it was tested"),
        ],
    )
    yield (
        "The folder [schemas](schemas) has a JSON Schema (2020-12) for each JSON document. An editor that "
        "knows it completes names and marks errors. A schema refuses less than the hub, which also compiles "
        "expressions, compares settings with each other, and refuses secrets where they would not be "
        "encrypted."
    )


def _preset_lines() -> Iterator[str]:
    yield "# Presets"
    yield GENERATED
    yield (
        "Settings of known systems. In the console, *Reference* → *Presets* searches them, and *Use* fills in the "
        "form of a source or a connection; everything can be changed before it is saved. "
        "[All pages](README.md)"
    )
    for kind, label in KINDS.items():
        yield f"## {label}"
        yield _format_table(
            ("system", "what it needs", "tested", "documentation"),
            [_preset_row(entry) for entry in list_entries(kind)],
        )


def _preset_row(entry: CatalogueEntry) -> tuple[str, ...]:
    metadata = entry.metadata
    # `docs/connect.md`, as the reference links to it.
    page = metadata.page if metadata.is_public_page else f"../{metadata.page.removeprefix('docs/')}"
    tested = "with the real system" if metadata.is_tested else "from documentation"
    return metadata.label, "<br>".join(metadata.needs), tested, f"[page]({page}): {metadata.follows}"


def _page_lines(page: ReferencePage) -> Iterator[str]:
    yield f"# {page.title}"
    yield GENERATED
    yield f"{page.intro} [All pages](README.md)"
    if page.schemas:
        links = ", ".join(f"[`{name}`](schemas/{name}.json)" for name in page.schemas)
        yield f"JSON Schema: {links}"
    if page.fields:
        yield "## Fields of the form"
        yield from _entry_lines(page.fields, "field")
    if page.example is not None:
        yield "## Example"
        yield _code_block(page.example)
    for section in page.sections:
        yield from _section_lines(section)
    if page.words:
        yield f"## {page.words_title}"
        yield _format_table(("name", "meaning"), [(f"`{name}`", meaning) for name, meaning in page.words])


def _section_lines(section: SettingSection) -> Iterator[str]:
    if section.title:
        yield f"## `{section.title}`"
    elif section.place:
        yield f"## `{section.place}`"
    else:
        yield "## Settings"
    if section.meaning:
        yield section.meaning
    yield from _entry_lines(section.entries, "setting")
    yield from section.rules
    if section.example:
        yield _code_block(section.example)


def _entry_lines(entries: Iterable[SettingEntry], word: str) -> Iterator[str]:
    rows = [
        (
            _name_cell(entry),
            _value_cell(entry),
            _default_cell(entry),
            _meaning_cell(entry),
            _format_code(entry.example),
        )
        for entry in entries
    ]
    if rows:
        yield _format_table((word, "value", "default", "meaning", "example"), rows)
    else:
        yield "No settings."


def _name_cell(entry: SettingEntry) -> str:
    return f"`{entry.name}`<br>{entry.label}" if entry.label else f"`{entry.name}`"


def _value_cell(entry: SettingEntry) -> str:
    lines = [entry.kind, entry.limits]
    lines += [f"`{value}`: {label}" if label else f"`{value}`" for value, label in entry.choices]
    return "<br>".join(line for line in lines if line)


def _default_cell(entry: SettingEntry) -> str:
    if entry.is_required:
        return "**required**"
    return "none" if entry.default is None else _format_code(entry.default)


def _meaning_cell(entry: SettingEntry) -> str:
    see = f"See [`{entry.section}`](#{_heading_anchor(entry.section)})." if entry.section else ""
    if entry.page:
        see = f"See [{PAGES[entry.page]().title}]({entry.page}.md)."
    return " ".join(part for part in (entry.meaning, *entry.rules, see) if part)


def _heading_anchor(place: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return "".join(letter for letter in place.lower() if letter.isalnum() or letter in "_-")


def _format_code(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text if len(text) <= _MAX_EXAMPLE_LENGTH else text[:_MAX_EXAMPLE_LENGTH] + '…'}`"


def _code_block(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def _format_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    # A bar would end the cell, also in code.
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _join_blocks(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"


def _encode_schema(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
