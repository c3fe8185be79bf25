"""Reads a file at an address from any byte on: over HTTP by the standard library, anywhere else by fsspec."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.address import Address

__all__ = ["Absent", "Broken", "Refused", "Remote"]

SECONDS = 30.0
"""Seconds that a server may be silent."""

PIECE_BYTES = 2**20
"""Bytes of an answer that are read at once."""

RANGE_BYTES = 2**24
"""Bytes that fsspec is asked for at once."""

LATER = (408, 425, 429)
"""Answers of HTTP below 500 after which asking again helps."""

Pieces = tuple[int, Iterator[bytes]]
"""The byte at which an answer begins, and its content."""


class Absent(Exception):
    """There is no such file."""


class Refused(Exception):
    """The server does not give the file to this user."""


class Broken(Exception):
    """The file could not be read, or not to its end; it may be, the next time."""


class Remote:
    """The files of a folder at an address.

    Args:
        address: The folder.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._is_http = address.partition(":")[0].lower() in ("http", "https")

    def __reduce__(self) -> tuple[type[Remote], tuple[Address]]:
        return Remote, (self.address,)  # another process connects by itself

    def where(self, name: str) -> Origin:
        """A file of the folder, for messages."""
        return Origin(f"{self.address}/{name}")

    def read(self, name: str, start: int, size: int | None) -> Pieces:
        """The content of a file from a byte on.

        Args:
            name: The file, relative to the folder.
            start: The first byte that is wanted; an answer may begin at 0 all the same.
            size: Bytes that the file should have, where that is known; one more is read, if there is one.

        Raises:
            Absent: If there is no such file.
            Refused: If the user may not read it.
            Broken: If something else went wrong; also while the content is read.
            InputError: If nothing is known that reads such addresses.
        """
        return self._http(name, start) if self._is_http else self._fsspec(name, start, size)

    def _http(self, name: str, start: int) -> Pieces:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import urlopen

        try:
            answer = urlopen(self._request(name, start), timeout=SECONDS)
        except HTTPError as error:
            error.close()
            if error.code == 416 and start:  # the file ends before
                return self._http(name, 0)
            said = f"HTTP {error.code} {error.reason}"
            if error.code in (404, 410):
                raise Absent(said) from None
            if error.code < 500 and error.code not in LATER:
                raise Refused(said) from None
            raise Broken(said) from None
        except (OSError, HTTPException) as error:
            raise Broken(self._said(getattr(error, "reason", error))) from None
        begins = start if answer.status == 206 else 0
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            answer.close()
            raise Broken("the server sent another part of the file than it was asked for")
        return begins, self._content(answer)

    def _request(self, name: str, start: int) -> Any:
        from urllib.request import Request

        scheme, _, rest = self.address.of(quote(name)).partition("://")
        host, slash, path = rest.partition("/")
        user, at, host = host.rpartition("@")
        request = Request(f"{scheme}://{host}{slash}{path}", headers={"Accept-Encoding": "identity"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        if at:  # another host that the server may lead to does not get it
            request.add_unredirected_header("Authorization", f"Basic {_encoded(unquote(user))}")
        return request

    def _content(self, answer: Any) -> Iterator[bytes]:
        from http.client import HTTPException

        stated = answer.headers.get("Content-Length")
        left = int(stated) if stated is not None and stated.isdecimal() else None
        with answer:
            while True:
                try:
                    piece = answer.read(PIECE_BYTES)
                except (OSError, HTTPException) as error:
                    raise Broken(self._said(error)) from None
                if not piece:
                    break
                left = None if left is None else left - len(piece)
                yield piece
        if left:
            raise Broken(f"the connection ended {left:,} bytes too early")

    def _fsspec(self, name: str, start: int, size: int | None) -> Pieces:
        files, root = self._files
        path = f"{root.rstrip('/')}/{name}"
        try:
            stop = int(files.info(path)["size"]) if size is None else size + 1
        except Exception as error:  # each library raises its own
            raise self._error(error) from None
        return start, self._ranges(path, start, stop)

    def _ranges(self, path: str, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            end = min(start + RANGE_BYTES, stop)
            try:
                piece = self._files[0].cat_file(path, start=start, end=end)
            except Exception as error:  # each library raises its own
                raise self._error(error) from None
            yield piece
            if len(piece) < end - start:
                return
            start = end

    @cached_property
    def _files(self) -> tuple[Any, str]:
        """The file system of an address, and the folder in it."""
        from fsspec.core import url_to_fs

        scheme = self.address.partition(":")[0]
        try:
            return url_to_fs(self.address.whole)  # type: ignore[no-any-return]
        except ImportError as error:
            raise InputError(
                f"{scheme}:// is read by a package that is not installed",
                rule=self._said(error),
                fixes=("to install it", "an address with https://"),
                origin=Origin(self.address),
            ) from None
        except Exception as error:  # each library raises its own
            raise InputError(
                f"no address that fsspec can open: {self._said(error)}", origin=Origin(self.address)
            ) from None

    def _error(self, error: Exception) -> Exception:
        said = self._said(error)
        if isinstance(error, FileNotFoundError):
            return Absent(said)
        return Refused(said) if isinstance(error, PermissionError) else Broken(said)

    def _said(self, error: Any) -> str:
        """What a library says, without what must not be written down."""
        text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        for secret in (self.address.whole, *self.address.secrets):
            text = text.replace(secret, "…")
        return text


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
