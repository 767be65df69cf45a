"""The socket: where it can be reached, and how many may come at once."""

import gc
import socket
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from inspected import served
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from embedstore.errors import SettingsError
from embedstore_inspector import serving
from embedstore_inspector.serving import listen


def test_the_address_for_others_is_that_of_this_machine_on_its_network(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listen(line / "store", port=0) as server:
        assert server.elsewhere is None
    everywhere = "0.0.0.0"  # noqa: S104
    monkeypatch.setattr(serving, "_network_address", lambda family: {socket.AF_INET: "192.168.1.5"}[family])
    with listen(line / "store", host=everywhere, port=0) as server:
        port = server.listening.getsockname()[1]
        token = server.address.removeprefix(f"http://127.0.0.1:{port}/?token=")
        assert len(token) == 32
        assert server.elsewhere == f"http://192.168.1.5:{port}/?token={token}"


def test_the_address_on_the_network_is_one_that_a_socket_here_can_have() -> None:
    found = serving._network_address(socket.AF_INET)
    if found != socket.gethostname():
        with socket.socket() as own:
            own.bind((found, 0))  # raises for an address of another machine


def test_without_a_way_out_of_the_network_the_name_of_the_machine_stands_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(self: object, address: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert serving._network_address(socket.AF_INET) == socket.gethostname()


def test_a_host_that_names_an_interface_is_refused(line: Path) -> None:
    with pytest.raises(SettingsError, match="give an address without '%'"), listen(line / "store", host="fe80::1%lo"):
        pass


def test_connections_are_bounded(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    with served(line / "store") as address:
        host, port = address.removeprefix("http://").rstrip("/").split(":")
        assert answer(address) == 200
        with socket.create_connection((host, int(port))), socket.create_connection((host, int(port))):
            assert answer(address) == 503
        until = time.monotonic() + 20
        while answer(address) != 200:  # as soon as the server has seen that they are gone
            assert time.monotonic() < until


def answer(address: str) -> int:
    try:
        with urlopen(address, timeout=20) as response:  # noqa: S310  our own
            return int(response.status)
    except HTTPError as error:
        return error.code


def test_a_connection_that_comes_while_the_server_stops_is_ended(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoHTTPProtocol, "shutdown", lambda connection: None)  # as if it came too late to be told
    with served(line / "store") as address:
        host, port = address.removeprefix("http://").rstrip("/").split(":")
        asking = socket.create_connection((host, int(port)), timeout=20)
        asking.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert asking.recv(4) == b"HTTP"
    with asking:
        while asking.recv(65536):  # what was sent, then the end
            pass
    gc.collect()  # a socket that is still open is told of as a warning, which is an error here
