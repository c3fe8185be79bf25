"""Addresses of folders on other machines, which are shown without what identifies their user."""

from __future__ import annotations

import re

__all__ = ["Address", "is_address", "without_secrets"]

ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<user>[^/?#\s]*@)?(?P<rest>[^?#\s]*)(?P<query>[?#]\S*)?"
)
CONTAINER = ("abfs", "abfss", "az", "wasb", "wasbs")
"""Schemes of Azure, where a name before `@` is that of a container, and no user."""


def is_address(text: str) -> bool:
    """Whether a text is an address, and not the path of a file.

    Examples:
        >>> is_address("https://host/store"), is_address("s3://bucket/store"), is_address("data/store")
        (True, True, False)
    """
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text))


def without_secrets(text: str) -> str:
    """A text whose addresses have no user, password, query or fragment.

    Examples:
        >>> without_secrets("corpus.store=https://me:secret@host/store?key=1")
        'corpus.store=https://host/store'
    """
    return ADDRESS.sub(lambda match: f"{match['scheme']}://{_container(match)}{match['rest']}", text)


def _container(match: re.Match[str]) -> str:
    user = match["user"] or ""
    return user if match["scheme"].lower() in CONTAINER and ":" not in user else ""


class Address(str):
    """The address of a folder. As a text it has no user, password or query, so that none is ever written down.

    Attributes:
        whole: The address as it was given, to open it.

    Examples:
        >>> print(Address("https://me:secret@host/store/?key=1"))
        https://host/store
    """

    whole: str

    def __new__(cls, text: str) -> Address:
        """Take an address as it was given."""
        found = super().__new__(cls, without_secrets(text).rstrip("/"))
        found.whole = getattr(text, "whole", text)
        return found

    def of(self, name: str) -> str:
        """The whole address of a file of the folder, to open it.

        Examples:
            >>> Address("https://me:secret@host/store/?key=1").of("manifest.json")
            'https://me:secret@host/store/manifest.json?key=1'
        """
        address = self.whole.partition("#")[0]
        folder, mark, query = address.partition("?")
        return f"{folder.rstrip('/')}/{name}{mark}{query}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The parts of the whole address that are never shown."""
        match = ADDRESS.match(self.whole)
        return tuple(part for part in (match["user"], match["query"]) if part) if match else ()
