"""A corpus of tokens in a plan: counted where it lies, by its index, without a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dist_epochs.corpus.input.folder import files_under
from dist_epochs.corpus.input.sources import find_sources
from dist_epochs.corpus.input.token_counts import count_tokens
from dist_epochs.corpus.input.token_formats import named_file, of_folder, refuse_other_tools
from dist_epochs.errors import InputError
from dist_epochs.settings.document import Document
from dist_epochs.settings.value import printable

__all__ = ["count_place"]


def count_place(document: Document, home: Path) -> dict[str, Any] | None:
    """Count the tokens at `corpus.store` of a recipe, where these are no store, and state their number instead.

    What is kept for evaluation is not in the number. What has to be known becomes a remark of the document.

    Args:
        document: The recipe.
        home: Folder that a path in it is relative to.

    Returns:
        What the place holds, as `tokenize --count-only --json` has it; None if it is a store, or nothing known.

    Raises:
        InputError: If its files are damaged, or of several kinds.
    """
    place = document.get(("corpus", "store"))
    if not isinstance(place, str) or not _holds_tokens(home / place):
        return None
    path = str(home / place)
    try:
        holds: dict[str, Any] = count_tokens(find_sources([path]), whole=False)["holds"]
    except InputError as error:
        if not any(fix.startswith("--dtype") for fix in error.fixes):
            raise
        count = f"`dist-epochs tokenize {place} --count-only --dtype …`, and the tokens that it counts"
        raise error.but(fixes=count) from None
    tokens = holds["tokens"] - holds.get("validation", {"tokens": 0})["tokens"]
    origin = document.where(("corpus", "store"))
    kept = {name: value for name, value in document.get(("corpus",)).items() if name != "store"}
    document.put(("corpus",), {**kept, "tokens": f"{tokens} tokens"}, origin)
    documents = "its documents are not known" if holds["documents"] is None else f"{holds['documents']:,} documents"
    document.remarks.append(f"{printable(path)}: {documents}, {holds['tokens']:,} tokens, as {holds['kind']} has them")
    document.remarks += holds["notes"]
    if tokens != holds["tokens"]:
        document.remarks.append(
            f"{', '.join(holds['validation']['files'])} is for evaluation: {tokens:,} are trained on"
        )
    return holds


def _holds_tokens(path: Path) -> bool:
    if (path / "manifest.json").is_file() or not path.exists():
        return False
    options: dict[str, Any] = {"text_column": "text", "dtype": None}
    if not path.is_dir():
        return path.is_file() and named_file(path, **options) is not None
    files = files_under(path)[0]
    if of_folder(path, files, **options)[0]:
        return True
    refuse_other_tools(files)
    return False
