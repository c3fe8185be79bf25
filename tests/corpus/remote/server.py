"""A web server for a folder that fails on demand, and a user of a store that may be killed.

python tests/corpus/remote/server.py ADDRESS CACHE LIMIT     fetches every shard, again and again
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Server:
    """Serves a folder.

    Attributes:
        address: Its address.
        faults: By file, what goes wrong with its next requests, one after the other: a status, or `cut`, `flip`,
            `short`, `long`, or `late`, which waits until `proceed` is set. What stands under `*` concerns all files.
        always: By file, what goes wrong with every request.
        ranges: Whether it sends parts of files.
        asked: How often each file was asked for; `sent` has the bytes of each.
        headers: Those of every request.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[object]] = defaultdict(list)
        self.always: dict[str, object] = {}
        self.ranges = True
        self.proceed = threading.Event()
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.address = ""

    def fault(self, name: str) -> object:
        for key in (name, "*"):
            if self.faults[key]:
                return self.faults[key].pop(0)
        return self.always.get(name)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            name = unquote(self.path.partition("?")[0]).removeprefix("/store/")
            server.asked[name] += 1
            server.headers.append({**self.headers, "path": self.path})
            fault = server.fault(name)
            path = server.folder / name
            status = fault if isinstance(fault, int) else 200 if path.is_file() else 404
            data = bytearray(path.read_bytes()) if status == 200 else bytearray()
            if fault == "flip":
                data[len(data) // 2] ^= 1
            elif fault == "short":
                del data[-1:]
            elif fault == "long":
                data += b"\0"
            asked = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
            start = int(asked) if asked and server.ranges and status == 200 else 0
            if start and start >= len(data):
                status, data = 416, bytearray()
            elif start:
                status = 206
            body = bytes(data[start:])
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault in ("cut", "late"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                server.sent[name] += len(body) // 2
                if fault == "cut":
                    self.close_connection = True
                    return
                server.proceed.wait(20)
                body = body[len(body) // 2 :]
            self.wfile.write(body)
            server.sent[name] += len(body)

    return Handler


@contextmanager
def serving(folder: Path):
    """The server, while the block runs."""
    server = Server(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        http.daemon_threads = True
        server.address = f"http://127.0.0.1:{http.server_address[1]}/store"
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.proceed.set()
            http.shutdown()


def main(address: str, cache: str, limit: str, times: int) -> None:
    from dist_epochs.corpus.remote.store import open_remote
    from dist_epochs.recipe.corpus import CacheRecipe
    from dist_epochs.settings.address import Address

    store = open_remote(Address(address), (16,), CacheRecipe(folder=cache, limit=limit))
    held = [
        store.remote.open(source.name, number, "tokens")
        for _ in range(times)
        for source in store.sources()
        for number in range(len(source.entry["shards"]))
    ]
    assert held
    print("done")


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:4], int(sys.argv[4]))
