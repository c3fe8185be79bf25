"""Pages of the reference that are made from the code when the site is built: commands, recipe keys, warnings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from dist_epochs.cli.explain import rule_pages
from dist_epochs.cli.main import COMMANDS, main
from dist_epochs.recipe.schema import recipe_schema

WIDTH = 88
LINK = re.compile(r"(?<=\]\()\.\./((?:configs|launch|dist_epochs)/[\w./-]+)")
"""A link from a page to a file of the repository outside of the documentation."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; mkdocs calls this once the files of the folder are known."""
    made = {"commands": commands_page(), "recipe": recipe_page(), "warnings": warnings_page()}
    for name, text in made.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    root = Path(config.config_file_path).parent
    for name in _linked(Path(config.docs_dir)):
        files.append(File.generated(config, f"files/{name}", abs_src_path=str(root / name)))
    return files


def on_page_markdown(markdown: str, **about: Any) -> str:
    """Lead the links to such files to their copies in the site; mkdocs calls this for each page."""
    return LINK.sub(r"files/\1", markdown)


def _linked(docs: Path) -> list[str]:
    """Files outside of the documentation that its pages link to."""
    pages = docs.rglob("*.md")
    return sorted({name for page in pages for name in LINK.findall(page.read_text(encoding="utf-8"))})


def commands_page() -> str:
    """What each command says with `--help`."""
    parts = ["# Commands\n\nExit codes: 0 fine, 1 the numbers do not add up, 2 the input is wrong.\n"]
    group = click.Context(main, info_name="dist-epochs", max_content_width=WIDTH, terminal_width=WIDTH)
    for name in COMMANDS:
        command = main.get_command(group, name)
        assert command is not None
        context = click.Context(command, parent=group, info_name=name, max_content_width=WIDTH, terminal_width=WIDTH)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def recipe_page() -> str:
    """Every setting of a recipe, part by part."""
    schema = recipe_schema()
    top, parts = [], []
    for name, entry in schema["properties"].items():
        inner = _part(entry)
        (parts if inner else top).append((name, entry))
    lines = [
        "# Recipe keys\n",
        "The same as an editor shows with `configs/recipe.schema.json`. "
        "Numbers may be written as anywhere: `1M`, `3.3B words`, `256x512`, `90%`.\n",
        *_table(top),
    ]
    for name, entry in parts:
        lines += [f"\n## {name}\n", *_described(entry), *_table(_part(entry).items())]
        for inner, each in _part(entry).items():
            if _part(each):
                lines += [f"\n### {name}.{inner}\n", *_described(each), *_table(_part(each).items())]
    return "\n".join(lines)


def _part(entry: dict[str, Any]) -> dict[str, Any]:
    """The settings within one; of a list or a table, those of each of its entries."""
    for place in (entry, entry.get("items"), entry.get("additionalProperties")):
        if isinstance(place, dict) and "properties" in place:
            found: dict[str, Any] = place["properties"]
            return found
    return {}


def _described(entry: dict[str, Any]) -> list[str]:
    return [f"{entry['description']}\n"] if "description" in entry else []


def _table(rows: Any) -> Iterator[str]:
    yield "| key | what it is |"
    yield "|---|---|"
    for name, entry in rows:
        choices = " or ".join(f"`{choice}`" for choice in entry.get("enum", []) if choice is not None)
        text = " ".join(entry.get("description", "").split()).replace("|", "\\|")
        yield f"| `{name}` | {text}{f' One of {choices}.' if choices else ''} |"


def warnings_page() -> str:
    """Every rule with its page, as `dist-epochs explain NAME` shows it."""
    pages = "\n".join(f"## {name}\n\n{text}\n" for name, text in sorted(rule_pages().items()))
    return f"# Warnings and notes\n\n`dist-epochs explain NAME` shows the same.\n\n{pages}"
