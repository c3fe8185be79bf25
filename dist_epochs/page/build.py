"""Writes the page: a folder of static files, for any web server and any path below it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import click

from dist_epochs import __version__
from dist_epochs.audit.collection import claim_names
from dist_epochs.errors import InputError, Origin
from dist_epochs.page.bundle import pack
from dist_epochs.page.forms import fields, fill, items, json_block
from dist_epochs.page.pyodide import Pyodide
from dist_epochs.recipe.shipped import shipped_recipes
from dist_epochs.runtime.files import named_errors, new_folder

__all__ = ["Built", "Flags", "build_page"]

SOURCES = Path(__file__).parent / "browser"
"""What stands in the page as it is, but for `index.html`, whose fields are filled in."""
SCRIPTS = ("page.js", "worker.js", "style.css")
MARK = '<meta name="generator" content="dist_epochs">'
"""How a folder is known to hold an earlier page."""
BUNDLE = "packages.zip"

Flags = Mapping[str, Mapping[str, tuple[str, ...]]]
"""For each command the flags that have a field, by the title of their section."""


@dataclass(frozen=True, slots=True)
class Built:
    """A page that was written.

    Attributes:
        files: How many files it has.
        size: Their bytes.
    """

    files: int
    size: int


def build_page(out: Path, pyodide: Pyodide, main: click.Group, flags: Flags) -> Built:
    """Write the page, or replace an earlier one.

    Args:
        out: Its folder: new, empty, or one with an earlier page.
        pyodide: Python for browsers.
        main: The command `dist-epochs`, whose flags become fields.
        flags: Which of them.

    Raises:
        InputError: If something else is in the folder.
        OSError: If it cannot be written.
    """
    if out.exists() and not _is_free(out):
        raise InputError(
            "the page is not written here, where something else is",
            rule="it takes a new folder, or an empty one, or that of an earlier page, and not the current folder",
            fixes=f"another name, such as {out / 'page'}",
            origin=Origin(str(out)),
        )
    files = _files(pyodide, main, flags)
    with named_errors(out), new_folder(out.resolve()) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return Built(len(files), sum(map(len, files.values())))


def _is_free(out: Path) -> bool:
    if not out.is_dir() or out.resolve() == Path.cwd():
        return False
    index = out / "index.html"
    return not any(out.iterdir()) or (index.is_file() and MARK in index.read_text(encoding="utf-8", errors="replace"))


def _files(pyodide: Pyodide, main: click.Group, flags: Flags) -> dict[str, bytes]:
    """Each file of the page by its name."""
    files = {name: (SOURCES / name).read_bytes() for name in SCRIPTS}
    files |= {BUNDLE: pack()}
    # many hosts do not know .mjs as JavaScript, and browsers then refuse it
    files |= {f"pyodide/{name.replace('.mjs', '.js')}": content for name, content in pyodide.files.items()}
    digest = hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest()[:12]
    files |= {f"licenses/{name}": text for name, text in _licenses().items()}
    return {"index.html": _index(pyodide.version, digest, main, flags).encode()} | files


def _index(pyodide_version: str, digest: str, main: click.Group, flags: Flags) -> str:
    context = click.Context(main)
    parts = {"generator": MARK, "version": __version__, "pyodide": pyodide_version, "digest": digest}
    for name, sections in flags.items():
        command = main.get_command(context, name)
        assert command is not None
        parts[f"{name}_fields"] = "\n".join(
            f"<details><summary>{escape(title)}</summary>"
            f'<div class="fields">{fields(command, names, name)}</div></details>'
            for title, names in sections.items()
        )
    recipes = {name: path.read_text(encoding="utf-8") for name, path in shipped_recipes().items()}
    parts |= {
        "recipe_items": items(recipes),
        "recipes": json_block("recipes", recipes),
        "claim_items": items(claim_names()),
    }
    return fill((SOURCES / "index.html").read_text(encoding="utf-8"), parts)


def _licenses() -> dict[str, bytes]:
    """The licenses of what the page carries, as the installed packages state them."""
    found = {}
    for name in ("click", "PyYAML", "dist-epochs"):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # a checkout that is not installed
            continue
        for file in files:
            if file.name.upper().startswith("LICENSE") and Path(str(file.locate())).is_file():
                found[f"{name}.txt"] = Path(str(file.locate())).read_bytes()
    return found
