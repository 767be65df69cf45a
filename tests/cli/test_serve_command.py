"""`embedstore serve` as installed: the address it prints, that it answers, that it ends; what it refuses."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from helpers import store_of, unit_vectors
from test_help import run_module
from toy_commands import SCRIPTS, refused


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    store_of(folder / "s", unit_vectors(1, 12), labels=["good"] * 8 + ["crack"] * 4).close()
    return folder


@contextmanager
def running(place: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command; yields it and the address that it printed."""
    # Where the suite runs in a shell's background, Ctrl-C is ignored, and what it starts would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [SCRIPTS / "embedstore", "serve", "s", "--port", "0", *options],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "is at http://" in line, process.communicate(timeout=20)
        yield process, line.split(" is at ")[1].strip()
    finally:
        process.kill()
        process.communicate()


def get(address: str) -> tuple[int, str]:
    """Return status and body; the socket waits, open already, until the server answers."""
    try:
        with urlopen(address, timeout=20) as response:  # noqa: S310  our own
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise there")
def test_it_answers_at_the_address_it_prints_and_ctrl_c_ends_it_in_one_sentence(place: Path) -> None:
    with running(place) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        status, html = get(address)
        assert status == 200
        assert "<title>s · embedstore</title>" in html
        assert '"count": 12' in get(address + "api/store")[1]
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        assert time.monotonic() - started < 8
        assert process.returncode == 130
        assert stderr.strip() == "Stopped. The page is gone; what was saved on it is in the store."


def test_on_all_interfaces_the_address_holds_a_token_and_without_it_nothing_is_told(place: Path) -> None:
    with running(place, "--host", "0.0.0.0") as (process, address):  # noqa: S104
        assert process.stdout is not None
        elsewhere, plain, ends = (process.stdout.readline().strip() for _ in range(3))
        port, token = re.findall(r":(\d+)/\?token=(.*)", address)[0]
        assert re.fullmatch(rf"From other machines: http://[\w.-]+:{port}/\?token={token}", elsewhere)
        assert "127.0.0.1" not in elsewhere
        assert plain.startswith("It is plain HTTP")
        assert ends == "Ctrl-C ends it."
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)\?token=([\w-]{32})", address)
        assert found
        assert get(address)[0] == 200
        status, said = get(found[1] + "api/store")
        assert (status, "asks for its token" in said) == (401, True)


def test_a_port_that_is_taken_is_told(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of '127.0.0.1' can't be listened on" in refused(
            "embedstore", "serve", "s", "--port", port, cwd=place
        )


def test_what_can_not_be_served_is_told_before_anything_is(place: Path) -> None:
    assert "nope" in refused("embedstore", "serve", "nope", cwd=place)
    for options, words in (
        (("--against", "nope"), "has no summary 'nope'"),
        (("--images", "nowhere"), "image folder 'nowhere' does not exist"),
        (("--host", "no.such.host.invalid"), "host 'no.such.host.invalid' is not known"),
        (("--run", "nowhere"), "nowhere"),
    ):
        assert words in refused("embedstore", "serve", "s", "--port", "0", *options, cwd=place)


def test_without_starlette_it_says_what_to_install(place: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; sys.modules['uvicorn'] = None\n"
        f"from embedstore_cli.main import main; sys.argv = ['embedstore', 'serve', {str(place / 's')!r}]; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.strip() == "Error: The live page needs Starlette and Uvicorn: pip install 'embedstore[serve]'"


def test_help_says_who_is_let_in() -> None:
    said = " ".join(run_module("embedstore", "serve", "--help").stdout.split())
    assert "only this machine" in said
    assert "token" in said
