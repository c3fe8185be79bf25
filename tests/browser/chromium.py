"""Headless Chromium over its debugging pipe: no driver to download, no port, no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-pings",
)
"""Without a window, and without requests of its own."""


class Chromium:
    """One browser with one page.

    Attributes:
        requests: Addresses that the page and its workers have asked for, in order.
        messages: What they wrote to their consoles, and uncaught errors.
    """

    def __init__(self, program: str, folder: Path) -> None:
        to_read, to_send = os.pipe()
        self._read, to_write = os.pipe()
        # The debugging pipe has the fixed numbers 3 and 4.
        script = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._send, self._rest, self._last = to_send, b"", 0
        self.requests: list[str] = []
        self.messages: list[str] = []
        [page] = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._page = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self._watch(self._page)
        self.page("Page.enable")

    def _watch(self, session: str) -> None:
        for method in ("Network.enable", "Runtime.enable"):
            self.call(method, session=session)
        auto = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self.call("Target.setAutoAttach", session=session, **auto)

    def call(self, method: str, session: str | None = None, limit: float = 60, **parameters: object) -> dict:
        """Call a method of the DevTools protocol, and wait for its result."""
        self._last += 1
        number = self._last
        asked = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self._write(asked)
        until = time.monotonic() + limit
        while True:
            answer = self._next(until - time.monotonic())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def page(self, method: str, **parameters: object) -> dict:
        """Call a method on the page."""
        return self.call(method, session=self._page, **parameters)

    def _next(self, seconds: float) -> dict:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(seconds, 0))
            if not ready:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(message)
        self._note(found)
        return found

    def _note(self, event: dict) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(parameters["url"])
            case "Runtime.consoleAPICalled":
                self.messages.append(" ".join(str(each.get("value")) for each in parameters["args"]))
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.messages.append(details.get("exception", {}).get("description", details["text"]))
            case "Target.attachedToTarget":
                session = parameters["sessionId"]
                self._send_only("Network.enable", session)
                self._send_only("Runtime.enable", session)
                self._send_only("Runtime.runIfWaitingForDebugger", session)

    def _send_only(self, method: str, session: str) -> None:
        self._last += 1
        self._write({"id": self._last, "method": method, "params": {}, "sessionId": session})

    def _write(self, message: dict) -> None:
        os.write(self._send, json.dumps(message).encode() + b"\0")

    def open(self, address: str) -> None:
        """Load an address, or go to another fragment of the one that is shown."""
        self.page("Page.navigate", url=address)

    def run(self, script: str) -> object:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = self.page("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", script))
        return answer["result"].get("value")

    def wait(self, condition: str, limit: float = 60) -> object:
        """Wait until an expression is true, and return its value."""
        until = time.monotonic() + limit
        while not (value := self.run(condition)):
            if time.monotonic() > until:
                raise TimeoutError(f"{condition}\n{self.messages}")
            time.sleep(0.02)
        return value

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.page("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "", modifiers: int = 0) -> None:
        """Press a key."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.page("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
        self.page("Input.dispatchKeyEvent", type="keyUp", **named)

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take another size and colour scheme."""
        self.page(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.page("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Save all of the page as a PNG."""
        shot = self.page("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser."""
        try:
            self.call("Browser.close", limit=10)
        except (TimeoutError, RuntimeError, OSError):
            self._process.kill()
        self._process.wait(20)
        os.close(self._read)
        os.close(self._send)
        self._log.close()
