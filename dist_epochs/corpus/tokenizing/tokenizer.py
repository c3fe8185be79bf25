"""A fast tokenizer from a file or folder, with its fingerprint and its special tokens."""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from dist_epochs.errors import InputError, Origin
from dist_epochs.runtime.files import digest_of_json

__all__ = ["EMBEDDED", "LARGEST_TOKENIZER", "TextTokenizer", "token_type"]

EMBEDDED = "embedded"
"""Name of the tokenizer and of the corpus that need no files or network."""

ROLES = {
    "mask_token": ("[MASK]", "<mask>"),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]",),
    "sep_token": ("[SEP]",),
    "bos_token": ("<s>", "<|endoftext|>"),
    "eos_token": ("</s>", "<|endoftext|>"),
}
"""Usual spellings of special tokens, for tokenizer files that do not name their roles."""

LARGEST_TOKENIZER = 128 * 2**20
"""Bytes of the largest tokenizer file that is read: four times the largest that is in use."""

COMPANIONS = ("tokenizer_config.json", "special_tokens_map.json")


class TextTokenizer:
    """A `tokenizers` tokenizer with truncation and padding off.

    Args:
        path: A `tokenizer.json`, a folder that holds one, or `embedded`.
        repository: The repository of the Hub that the file is from: it is used alone then, whatever stands beside it.
        revision: The commit of the repository.

    Raises:
        InputError: If there is no such file, or it is not a tokenizer.
    """

    def __init__(self, path: str | Path, *, repository: str = "", revision: str = "") -> None:
        self.path = _file(path)
        self.repository = repository
        self.revision = revision
        text = _read(self.path)
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises a bare Exception
            raise InputError(
                f"not a fast tokenizer: {error}",
                fixes="the tokenizer.json that `save_pretrained` of a fast tokenizer writes",
                origin=Origin(str(self.path)),
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.fingerprint = digest_of_json(_object(text, self.path))

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @property
    def special_ids(self) -> list[int]:
        """Ids of special tokens, which are never masked."""
        return sorted(index for index, token in self._tokenizer.get_added_tokens_decoder().items() if token.special)

    @property
    def roles(self) -> dict[str, str]:
        """Special tokens by role (`mask_token`, `pad_token`, …), as configured or by their usual spelling."""
        stated: dict[str, Any] = {}
        for companion in self._companions:
            stated = _object(_read(companion), companion) | stated
        roles = {}
        for role, spellings in ROLES.items():
            token = stated.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            found = [token] if isinstance(token, str) and token else list(spellings)
            known = [spelling for spelling in found if self._tokenizer.token_to_id(spelling) is not None]
            if known:
                roles[role] = known[0]
        return roles

    def role_id(self, role: str) -> int | None:
        """Id of the special token with that role, if there is one."""
        token = self.roles.get(role)
        return None if token is None else self._tokenizer.token_to_id(token)

    @property
    def pad_id(self) -> int:
        """Id that fills a sample; without a padding token any id will do, since nothing attends to it."""
        return self.role_id("pad_token") or 0

    def encode(self, texts: Sequence[str], *, special_tokens: bool) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of all texts, one after the other, and how many each has; special tokens once per text where asked."""
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=special_tokens)
        except Exception as error:  # the library raises a bare Exception, such as for a word without a token
            raise InputError(f"cannot encode this text: {error}", origin=Origin(str(self.path))) from None
        ids = array("I")
        lengths = []
        for encoding in encodings:
            own = encoding.ids
            ids.fromlist(own)  # several times as fast as through numpy
            lengths.append(len(own))
        return np.frombuffer(ids, np.uint32), np.array(lengths, np.int64)

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(_read(self.path), encoding="utf-8")
        for companion in self._companions:
            shutil.copyfile(companion, folder / companion.name)

    @property
    def _companions(self) -> list[Path]:
        """Files beside the tokenizer's that name its special tokens; a cache may hold any of them."""
        beside = self.path.name == "tokenizer.json" and not self.repository
        return [file for name in COMPANIONS if beside and (file := self.path.parent / name).is_file()]


def token_type(tokenizer: TextTokenizer | None) -> np.dtype[Any]:
    """The smallest type that holds every id; without a tokenizer nothing is written."""
    return np.dtype("<u2" if tokenizer is not None and tokenizer.vocabulary_size <= 2**16 else "<u4")


def _file(path: str | Path) -> Path:
    if str(path) == EMBEDDED:
        return Path(str(files("dist_epochs") / "data" / "python-docs-tokenizer.json"))
    place = Path(path)
    file = place / "tokenizer.json" if place.is_dir() else place
    if not file.is_file():
        raise InputError(
            "no such tokenizer file",
            fixes=("a tokenizer.json", "its folder", f"`{EMBEDDED}`"),
            origin=Origin(str(file)),
        )
    return file


def _object(text: str, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", origin=Origin(str(path))) from None
    if not isinstance(data, dict):
        raise InputError("not a JSON object", origin=Origin(str(path)))
    return data


def _read(path: Path) -> str:
    if (size := path.stat().st_size) > LARGEST_TOKENIZER:
        raise InputError(f"{size:,} bytes, which no tokenizer has", origin=Origin(str(path)))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("not a tokenizer file: it is not UTF-8 text", origin=Origin(str(path))) from None
