"""Which files hold tokens of another tool, in which format, and which of them belong together."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from dist_epochs.corpus.input.folder import NotRead
from dist_epochs.corpus.input.token_files import Reading, TokenFormat
from dist_epochs.corpus.readers.column_batches import COLUMN, FILE, STREAM, columns_of
from dist_epochs.corpus.readers.columns import COLUMNS
from dist_epochs.corpus.readers.llmc import EVALUATION, LLMC, MARKS
from dist_epochs.corpus.readers.mds import MDS
from dist_epochs.corpus.readers.mds_index import is_index
from dist_epochs.corpus.readers.megatron import MEGATRON
from dist_epochs.corpus.readers.megatron_index import FAIRSEQ, MARK
from dist_epochs.corpus.readers.nanogpt import NAMES, NANOGPT
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.files import open_file, read_utf8
from dist_epochs.settings.json_text import load_json
from dist_epochs.settings.value import printable

__all__ = ["FORMATS", "format_of", "is_validation", "named_file", "of_folder", "other_tool", "refuse_other_tools"]

FORMATS: dict[str, TokenFormat] = {
    "megatron": MEGATRON, "llm.c": LLMC, "nanogpt": NANOGPT, "datasets": COLUMNS, "mds": MDS,
}  # fmt: skip
"""The readers of tokens, by the name that JSON has."""

VALIDATION = re.compile(r"(^|[-_.])(val|valid|validation|test|dev|eval)([-_.]|$)", re.ASCII)
LARGEST_JSON = 64 * 2**20


def format_of(path: Path, *, text_column: str = "text", dtype: str | None = None) -> str | None:
    """The format of a file of tokens; None if it is none of them.

    Args:
        path: A file. Of files that belong together it is the one with the index.
        text_column: Column of documents as text; a Parquet file that has it is text.
        dtype: Type of the ids of raw files, if files without any mark are taken for such.
    """
    match path.suffix:
        case ".idx" if _head(path).startswith((MARK, FAIRSEQ)):
            return "megatron"
        case ".bin" if not path.with_suffix(".idx").is_file():
            head = _head(path)
            mark = struct.unpack_from("<i", head)[0] if len(head) >= 4 else 0
            if mark == EVALUATION or mark in {mark for mark, _ in MARKS}:
                return "llm.c"
            return "nanogpt" if path.name in NAMES or dtype else None
        case ".arrow" if _head(path).startswith((STREAM, FILE)):
            try:
                return "datasets" if COLUMN in columns_of(path) else None
            except InputError:
                return "datasets"  # its reader says what is wrong
        case ".parquet":
            try:
                names = columns_of(path)
            except InputError:
                return None  # the reader of text says what is wrong
            is_text = text_column in names and text_column != COLUMN
            return "datasets" if COLUMN in names and not is_text else None
        case ".json" if path.name == "index.json" and is_index(path):
            return "mds"
    return None


def named_file(path: Path, *, text_column: str, dtype: str | None) -> tuple[str, Path] | None:
    """The format of a file that was named, and the file with its index; None if it is text.

    Raises:
        InputError: If it looks like a file of tokens, and cannot be one.
    """
    found, origin = path, Origin(str(path))
    if path.suffix == ".bin" and path.with_suffix(".idx").is_file():
        found = path.with_suffix(".idx")
    elif ".mds" in path.suffixes:
        found = path.with_name("index.json")
    kind = format_of(found, text_column=text_column, dtype=dtype) if found.is_file() else None
    if kind is not None:
        return kind, found
    refuse_other_tools([path])
    if found.suffix == ".idx":
        FORMATS["megatron"].facts(found, Reading(), False)  # says what is wrong with it
    if found.suffix == ".bin":
        raise InputError(
            "this file does not say what it holds",
            rule="Megatron's has an .idx beside it, llm.c's begins with a mark, nanoGPT's is train.bin or val.bin",
            fixes="--dtype uint16 (or uint32), if it holds ids and nothing else",
            origin=origin,
        )
    if found.name == "index.json":
        rule = "it has shards and a version" if found.is_file() else "it must stand beside the shards"
        raise InputError("not the index.json of an MDS data set", rule=rule, origin=Origin(str(found)))
    if found.suffix == ".arrow":
        has_mark = _head(path).startswith((STREAM, FILE))
        rule = f"there are {printable(', '.join(columns_of(path)))}" if has_mark else ""
        asked = f"no column {COLUMN!r}" if has_mark else "not an Arrow file: damaged or cut at its beginning"
        raise InputError(asked, rule=rule, origin=origin)
    return None


def of_folder(
    folder: Path, files: Iterable[Path], *, text_column: str, dtype: str | None
) -> tuple[dict[Path, str], list[Path], list[NotRead]]:
    """The files of tokens of a folder with their formats, the other files, and what must not be read.

    Raises:
        InputError: If the folder is that of several splits.
    """
    left = list(files)
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(str(file.parent) for file in left if file.name == "state.json" and file.parent != folder)
        raise InputError(
            "several splits of a data set", rule="adding them up would count the test set too", fixes=splits[:3],
            origin=Origin(str(folder)),
        )  # fmt: skip
    index = folder / "index.json"
    if index.is_file() and format_of(index) == "mds":  # the index at the top counts the folders in it, too
        left = [file for file in left if file.name != "index.json" or file == index]
    found = {file: kind for file in left if (kind := format_of(file, text_column=text_column, dtype=dtype))}
    belonging = {part for file, kind in found.items() for part in FORMATS[kind].parts(file)}
    not_read = []
    for file in [file for file, kind in found.items() if kind == "datasets"]:
        if file.suffix == ".arrow" and (reason := _leftover(file)):
            not_read.append(NotRead(str(file), reason))
            belonging.add(file)
            del found[file]
    left = [file for file in left if file not in belonging]
    others = {file: tool for file in left if (tool := other_tool(file))}
    not_read += [NotRead(str(file), f"{tool}, which is not read") for file, tool in others.items()]
    return found, [file for file in left if file not in others], not_read


def refuse_other_tools(files: Iterable[Path]) -> None:
    """Refuse files of which one holds tokens of a tool that is not read.

    Raises:
        InputError: With the first of them.
    """
    for file in files:
        if (tool := other_tool(file)) is not None:
            rule, fixes = f"read are {', '.join(FORMATS)}", "the text that it was made from"
            raise InputError(f"{tool}, which is not read", rule=rule, fixes=fixes, origin=Origin(str(file)))


def is_validation(path: Path) -> bool:
    """Whether the name of a file says that it is kept for evaluation."""
    return VALIDATION.search(path.stem) is not None


def other_tool(path: Path) -> str | None:
    """What a file of tokens is whose format is known and not read."""
    if path.name == "shard_ledger.json":
        return "a cache of Levanter"
    if path.name.endswith((".ds", ".ds.index", ".ds.metadata")):
        return "tokens of datatrove (.ds)"
    if path.suffix == ".npy":
        is_raw = path.with_suffix(".csv.gz").is_file()
        return "tokens of Dolma or OLMo (.npy with .csv.gz)" if is_raw else "an array of numpy (.npy)"
    if path.suffix == ".tar" or path.name.endswith(".tar.gz"):
        return "an archive, perhaps of webdataset (.tar)"
    if path.name == "index.json":
        try:
            data = load_json(read_utf8(path, LARGEST_JSON, "an index"), Origin(str(path)))
        except InputError:
            return None
        return "a data set of litdata" if isinstance(data, dict) and {"chunks", "config"} <= data.keys() else None
    return None


def _leftover(path: Path) -> str | None:
    """Why an Arrow file of a folder is no part of its data set; None if it is."""
    if path.name.startswith("cache-"):
        return "what a map has left in a cache"
    state = path.with_name("state.json")
    if not state.is_file():
        return None
    data = load_json(read_utf8(state, LARGEST_JSON, "the state of a data set"), Origin(str(state)))
    listed = data.get("_data_files") if isinstance(data, dict) else None
    names = [each.get("filename") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return None if path.name in names else "not among the files that its state.json names"


def _head(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(16)
    except (OSError, InputError):
        return b""
