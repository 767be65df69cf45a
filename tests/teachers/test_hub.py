import contextlib
import http.server
import logging
import os
import socket
import subprocess
import sys
import threading
import time

import huggingface_hub.constants as hub_settings
import pytest

from embedstore.errors import TeacherError, WeightsUnavailableError
from embedstore.teachers import hub
from embedstore.teachers.hub import HubProbe, quick_hub


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub, "_PATIENCE", 6.0)


@contextlib.contextmanager
def serving(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def answering(words):
    """Take one connection and send some bytes; send nothing at all where there are none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(words)

        if words:
            threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("status", "reachable"), [(200, True), (403, True), (404, True), (429, False), (500, False), (503, False)]
)
def test_a_no_is_an_answer_and_an_outage_is_none(status, reachable, monkeypatch):
    """The hub's own client would try again through an outage for a minute."""
    with serving(status) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert HubProbe().reachable() is reachable


def test_the_user_may_forbid_asking(monkeypatch):
    with serving(200) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert not HubProbe().reachable()
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert HubProbe().reachable()


@pytest.mark.parametrize("address", ["not an address", "http://", "nothing://127.0.0.1", "http://[", "closed"])
def test_an_address_without_a_hub_is_out_of_reach_at_once(address, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", closed_port() if address == "closed" else address)
    start = time.monotonic()
    assert not HubProbe().reachable()
    assert time.monotonic() - start < 5


def test_something_that_is_no_web_server_is_out_of_reach(monkeypatch):
    with answering(b"220 mail.example ESMTP\r\n\r\n") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not HubProbe().reachable()


def test_a_hub_that_says_nothing_is_out_of_reach(monkeypatch):
    monkeypatch.setattr(hub, "_PATIENCE", 0.3)
    with answering(b"") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not HubProbe().reachable()


def test_patience_is_counted_from_the_question(monkeypatch):
    monkeypatch.setattr(hub, "_PATIENCE", 1.0)
    over = threading.Event()

    def look_up_the_name(*args: object, **kwargs: object) -> None:  # which knows no time limit
        over.wait(9)
        raise OSError("no such name")

    monkeypatch.setattr("urllib.request.urlopen", look_up_the_name)
    start = time.monotonic()
    probe = HubProbe()
    time.sleep(0.9)
    assert not probe.reachable()
    seconds = time.monotonic() - start
    over.set()
    probe._thread.join()
    assert 0.95 < seconds < 1.75


class Answered:
    def __init__(self, answer):
        self.reachable = lambda: answer


@pytest.mark.parametrize(("answer", "offline"), [(True, False), (False, True), (None, True)])
def test_the_hubs_client_is_told_to_stay_offline_only_where_the_hub_is_out_of_reach(answer, offline, monkeypatch):
    monkeypatch.setattr(hub_settings, "HF_HUB_OFFLINE", False)
    with quick_hub(None if answer is None else Answered(answer), "timm:x"):
        assert hub_settings.is_offline_mode() == offline
        assert not logging.getLogger("huggingface_hub").isEnabledFor(logging.CRITICAL)
    assert hub_settings.HF_HUB_OFFLINE is False
    assert logging.getLogger("huggingface_hub").isEnabledFor(logging.CRITICAL)


def test_a_client_that_was_offline_stays_so(monkeypatch):
    monkeypatch.setattr(hub_settings, "HF_HUB_OFFLINE", True)
    with quick_hub(Answered(True), "timm:x"):
        assert hub_settings.is_offline_mode()
    assert hub_settings.HF_HUB_OFFLINE is True


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (True, r"the hub did not give them \(FileNotFoundError\)"),
        (False, "the hub can't be reached"),
        (None, "the hub is not asked where a local file is given"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "form"), [("timm", "timm:NAME@CHECKPOINT"), ("open_clip", "open_clip:ARCH@CHECKPOINT")]
)
def test_what_goes_wrong_inside_becomes_one_sentence_and_leaves_nothing_behind(answer, why, kind, form, monkeypatch):
    monkeypatch.setattr(hub_settings, "HF_HUB_OFFLINE", False)
    message = (
        rf"^The weights of '{kind}:x' are not on this machine and {why}; fetch them once where there is a network "
        rf"and copy the hub's cache, or give a local file: {form}\.$"
    )
    with (
        pytest.raises(WeightsUnavailableError, match=message),
        quick_hub(None if answer is None else Answered(answer), f"{kind}:x"),
    ):
        raise FileNotFoundError("a long story\nof many lines")
    assert hub_settings.HF_HUB_OFFLINE is False
    assert logging.root.manager.disable < logging.CRITICAL


def test_our_own_errors_and_the_users_interrupts_pass():
    for error in (TeacherError("said already"), KeyboardInterrupt(), TypeError("a fault of ours")):
        with pytest.raises(type(error)) as raised, quick_hub(None, "timm:x"):
            raise error
        assert raised.value is error


def seconds_of(code: str, environment: dict[str, str]) -> tuple[float, subprocess.CompletedProcess[str]]:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return time.monotonic() - start, done


@pytest.mark.parametrize("hub_is", ["closed", "silent"])
def test_clip_without_a_network_ends_in_seconds_in_one_sentence(hub_is, tmp_path, record_property):
    """In a fresh process, imports included: five seconds on an idle machine; a busy one is given what it needs."""
    code = (
        "from embedstore.errors import WeightsUnavailableError\n"
        "from embedstore.teachers import DEFAULT_TEACHER, load_teacher\n"
        "try: load_teacher(DEFAULT_TEACHER)\n"
        "except WeightsUnavailableError as error: print(error)\n"
    )
    with answering(b"") as silent:
        address = silent if hub_is == "silent" else closed_port()
        environment = os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": address}
        seconds, done = seconds_of(code, environment)
    record_property("seconds", seconds)
    start = (
        "The weights of 'open_clip:ViT-B-32/laion2b_s34b_b79k' are not on this machine and the hub can't be reached;"
    )
    assert done.stdout.startswith(start)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    if seconds > 8:
        imports, _ = seconds_of("import open_clip", environment)
        assert seconds < 2 * imports + 3
