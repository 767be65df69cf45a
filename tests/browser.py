"""A page in a real browser, where there is one: its output after one look, or a browser that is held and driven."""

import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is on the PATH")

_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars")  # fmt: skip

_PATIENCE = 90  # seconds
_KEY_CODES = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def browse(address: str, profile: Path, *options: str) -> str:
    """Return what the browser wrote to its output; fails where its console has a message."""
    assert BROWSER is not None
    result = subprocess.run(
        [BROWSER, *_OPTIONS, "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}", *options, address],
        capture_output=True, text=True, check=False, timeout=60, encoding="utf-8",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    return result.stdout


class Page:
    """One page of a browser that is driven over its pipe, by the messages of the Chrome DevTools Protocol.

    Attributes:
        complaints: what its console was told by errors, and what a policy forbade.
    """

    def __init__(self, reading: int, writing: int):
        self._reading, self._writing = reading, writing
        self._numbers, self._waiting = itertools.count(1), b""
        self._session: str | None = None
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a message and return its answer."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        os.write(
            self._writing,
            json.dumps({"id": number, "method": method, "params": parameters, **session}).encode() + b"\0",
        )
        while number not in self._answers:
            self._receive()
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer}"
        return dict(answer["result"])

    def _receive(self) -> None:
        while b"\0" not in self._waiting:
            assert select.select([self._reading], [], [], _PATIENCE)[0], "the browser says nothing"
            part = os.read(self._reading, 1 << 20)
            assert part, "the browser ended"
            self._waiting += part
        message, self._waiting = self._waiting.split(b"\0", 1)
        said = json.loads(message)
        if "id" in said:
            self._answers[said["id"]] = said
        elif said["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(said["params"]["exceptionDetails"]))
        elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(said["params"]["entry"]))

    def open(
        self, address: str, *, width: int = 1280, height: int = 800, scale: float = 1, touch: bool = False
    ) -> None:
        """Show an address in a window of some size."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=touch
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.send("Page.navigate", url=address)

    def dark(self, dark: bool) -> None:
        """Show what a reader with a dark or a light screen sees."""
        self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )

    def value(self, script: str) -> Any:
        """Return what an expression gives; a promise is waited for."""
        said = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, script: str, seconds: float = 30) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.value(script)
            if found:
                return found
            time.sleep(0.03)
        raise AssertionError(f"never true: {script}; complaints: {self.complaints}")

    def press(self, key: str) -> None:
        """Press a key, by its name (`Escape`) or its letter."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"windowsVirtualKeyCode": _KEY_CODES[key]} if key in _KEY_CODES else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def write(self, text: str) -> None:
        """Write a text where the focus is."""
        self.send("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move (`mouseMoved`), press (`mousePressed`), release (`mouseReleased`) or turn the wheel (`mouseWheel`)."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """Click at a place."""
        self.drag([(x, y)])

    def drag(self, path: list[tuple[float, float]]) -> None:
        """Press at the first place, move to the others, release at the last."""
        self.mouse("mouseMoved", *path[0])
        self.mouse("mousePressed", *path[0], button="left", buttons=1, clickCount=1)
        for at in path[1:]:
            self.mouse("mouseMoved", *at, button="left", buttons=1)
        self.mouse("mouseReleased", *path[-1], button="left", clickCount=1)

    def middle(self, selector: str) -> tuple[float, float]:
        """Return the middle of an element, in pixels of the window."""
        found = self.value(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        return found[0], found[1]

    def drop(self, selector: str, file: Path) -> None:
        """Drop a file on an element."""
        x, y = self.middle(selector)
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def screenshot(self, path: Path, *, form: str = "png", quality: int | None = None) -> None:
        """Write what the window shows as a picture."""
        extra = {} if quality is None else {"quality": quality}
        path.write_bytes(b64decode(self.send("Page.captureScreenshot", format=form, **extra)["data"]))


@contextmanager
def driven(profile: Path) -> Iterator[Page]:
    """Start a browser and yield a page of it; POSIX only, since the pipe has fixed numbers there."""
    assert BROWSER is not None
    there, writing = os.pipe()
    reading, back = os.pipe()
    command = [BROWSER, *_OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
    # Moves the pipe to the numbers that the browser looks for, then becomes the browser.
    move = (
        f"import fcntl, os, sys; a, b = (fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in ({there}, {back}))\n"
        "os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", move, *command],
        pass_fds=(there, back), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(there)
    os.close(back)
    try:
        yield Page(reading, writing)
    finally:
        os.close(writing)
        os.close(reading)
        process.terminate()
        process.wait(20)
