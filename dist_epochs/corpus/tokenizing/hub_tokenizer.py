"""The tokenizer that a name on the command line stands for: a local file or folder, or a repository of the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError, Origin

__all__ = ["tokenizer_of"]

TOKENIZER_FILE = "tokenizer.json"
"""The only file of a repository that is fetched."""
NAME = re.compile(r"[\w-][\w.-]{0,95}(?:/[\w-][\w.-]{0,95})?", re.ASCII)
"""Name of a repository: with its owner, or one of the old ones without."""


def tokenizer_of(name: str, say: Callable[[str], None]) -> TextTokenizer:
    """The tokenizer of a file, a folder or `embedded`; else of the repository of that name on the Hub.

    What is in the cache of the Hub is taken from there, and no network is used.

    Args:
        name: What it is called on the command line.
        say: Told which tokenizer a name stands for that could be a folder's and a repository's.

    Raises:
        InputError: If there is none, or it is no tokenizer.
    """
    if name == EMBEDDED or not _is_repository_name(name):
        return TextTokenizer(name)
    if Path(name).exists():
        say(f"tokenizer: the local {'folder' if Path(name).is_dir() else 'file'} {name}, not a repository of the Hub")
        return TextTokenizer(name)
    path = _fetched(name)
    say(f"tokenizer: {name} of the Hub, revision {path.parent.name}")
    return TextTokenizer(path, repository=name, revision=path.parent.name)


def _is_repository_name(name: str) -> bool:
    """Whether a name could be that of a repository, and is not that of a file."""
    return NAME.fullmatch(name) is not None and not name.endswith(".json")


def _fetched(name: str) -> Path:
    """The file in the cache, whose folder is called as the commit."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(name, TOKENIZER_FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # it is fetched
    try:
        return Path(hf_hub_download(name, TOKENIZER_FILE))
    except LocalEntryNotFoundError as error:
        why = f"no network: {error.__cause__ or error}"
    except RepositoryNotFoundError:  # also where one may not see it
        why = "the Hub shows no such repository here; a private or gated one needs `hf auth login`"
    except EntryNotFoundError:
        why = f"the repository has no {TOKENIZER_FILE}, which `save_pretrained` of a fast tokenizer writes"
    except Exception as error:  # there are many classes for what can go wrong on the way
        why = str(error).strip() or type(error).__name__
    raise InputError(
        "no local file or folder of this name, nor can it be had from the Hub",
        rule=why.splitlines()[0],
        fixes=(
            f"`hf download {name} {TOKENIZER_FILE} --local-dir DIR` on a machine with a network, then to copy the file"
            f" here: --tokenizer DIR/{TOKENIZER_FILE}",
            "HF_HUB_CACHE, where a cache of the Hub with it is at hand",
        ),
        origin=Origin(f"--tokenizer {name}"),
    )
