"""The live page on a socket: bound before the address is printed, ended by Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import uvicorn
from starlette.applications import Starlette

from embedstore.analysis.suggestions import StudentScores
from embedstore.errors import SettingsError
from embedstore_inspector.app import make_app
from embedstore_inspector.security import Access, is_everywhere, is_loopback

MOST_CONNECTIONS = 200  # at once; a browser holds up to six
# An address of each family that nobody has, to learn which of ours would be used to reach it; nothing is sent there.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


@dataclass(frozen=True)
class Server:
    """A page that waits on a socket.

    Attributes:
        app: the page.
        listening: the socket.
        address: for a browser on this machine; with the token, where one is needed.
        elsewhere: for browsers on other machines; None where only this one can reach the server.
    """

    app: Starlette
    listening: socket.socket
    address: str
    elsewhere: str | None = None


@contextmanager
def listen(
    store: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    against: str | None = None,
    student: StudentScores | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Iterator[Server]:
    """Open the page of a store and a socket for it; see `make_app`.

    Raises:
        SettingsError: the host or the port can't be used.
    """
    if "%" in host:
        raise SettingsError(
            f"The host '{host}' names a network interface, which no browser's address can; give an address without '%'."
        )
    access = Access(host, None if is_loopback(host) else secrets.token_urlsafe(24))
    app = make_app(store, access=access, against=against, student=student, images=images)
    with _bound(host, port) as bound:
        token = "" if access.token is None else f"?token={access.token}"

        def address(name: str) -> str:
            return f"http://{f'[{name}]' if ':' in name else name}:{bound.getsockname()[1]}/{token}"

        here, elsewhere = host, None if is_loopback(host) else host
        if is_everywhere(host):
            here, elsewhere = "::1" if ":" in host else "127.0.0.1", _network_address(bound.family)
        yield Server(app, bound, address(here), None if elsewhere is None else address(elsewhere))


def run(server: Server) -> None:
    """Answer requests until Ctrl-C, which is raised on as KeyboardInterrupt."""
    uvicorn.Server(_settings(server)).run(sockets=[server.listening])


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Answer requests in a thread of its own while the block lasts."""
    answering = uvicorn.Server(_settings(server))

    async def answer() -> None:
        await answering.serve(sockets=[server.listening])
        # A browser that connected while the server was told to stop is not let go of there, and would outlive the loop.
        for left in list(answering.server_state.connections):
            left.transport.abort()
        await asyncio.sleep(0)

    thread = Thread(target=lambda: asyncio.run(answer()))
    thread.start()
    try:
        yield
    finally:
        answering.should_exit = True
        thread.join()


def _settings(server: Server) -> uvicorn.Config:
    return uvicorn.Config(
        server.app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=MOST_CONNECTIONS,
    )


def _network_address(family: int) -> str:
    """Return the address that this machine has on its network; its name, where no way leads out of that."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((_ELSEWHERE[socket.AddressFamily(family)], 9))
            return str(asked.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name != "nt":  # there it would let two servers share a port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            bound.listen()  # so that a browser that is quicker than the server waits
        except BaseException:
            bound.close()
            raise
    except socket.gaierror as error:
        raise SettingsError(
            f"The host '{host}' is not known ({error.strerror}); give an address of this machine."
        ) from error
    except OSError as error:
        raise SettingsError(
            f"The port {port} of '{host}' can't be listened on ({error.strerror}); give another one with --port, or 0 for any "
            "that is free."
        ) from error
    return bound
