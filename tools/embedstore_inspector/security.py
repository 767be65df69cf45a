"""Who may ask: the Host and Origin of each request, the token of a server that others can reach, the token of each write.

A page elsewhere on the web can make a reader's browser send requests to this server. It may neither read an answer, under
whatever name it reaches us (DNS rebinding), nor change anything, nor keep the server busy: but for a link to the page, what a
browser says was sent from elsewhere is refused.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedstore.pages import Text
from embedstore_inspector.no_token import no_token_page
from embedstore_inspector.refusals import FAULT, RefusedError, refusal

WRITE_HEADER = "X-Embedstore-Token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?P<port>:[0-9]{1,5})?")

_STRANGE_HOST = Text(
    "This server does not go by that name; use the address that embedstore serve printed.",
    "このサーバーのアドレスではありません。embedstore serve が表示したアドレスを使ってください。",
)
_NO_TOKEN = Text(
    "This server asks for its token; open the address that embedstore serve printed, with the token in it.",
    "トークンが必要です。embedstore serve が表示した、トークン付きのアドレスを開いてください。",
)
_STRANGE_ORIGIN = Text(
    "The request comes from another page; use the page of this server.",
    "別のページからの要求です。このサーバーのページから操作してください。",
)
_NO_WRITE_TOKEN = Text(
    "The request lacks the token of this page; load the page again.",
    "このページのトークンがありません。ページを再読み込みしてください。",
)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on this host."""
    found = address_of(host)
    return host in _LOOPBACK or (found is not None and found.is_loopback)


def is_everywhere(host: str) -> bool:
    """Return whether a server on this host listens on all interfaces."""
    found = address_of(host)
    return found is not None and found.is_unspecified


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is, however it is spelt; None where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True)
class Access:
    """Whom a server answers.

    Attributes:
        host: that it listens on, such as `127.0.0.1` or `0.0.0.0`.
        token: that a reader must bring; None where only this machine can reach the server.
        write_token: that each write must bring; the page knows it.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    write_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def serves(self, name: str) -> bool:
        """Return whether a name, in small letters, is one of this server's.

        An address can't be rebound, so any will do where all are served.
        """
        return _spelt(name) in self._names or (is_everywhere(self.host) and address_of(name) is not None)

    @cached_property
    def _names(self) -> frozenset[str]:
        """All that this server goes by, asked of this machine alone: names that DNS has to tell would take a while."""
        names = {_spelt(self.host)}
        if is_loopback(self.host) or is_everywhere(self.host):
            names |= _LOOPBACK
        if is_everywhere(self.host):
            own = socket.gethostname().lower()
            names |= {own, f"{own}.local"}
        return frozenset(names)


class Guard:
    """Middleware that lets through what `Access` allows, and sets the headers that keep a page to itself.

    Raises nothing: what is refused is answered with one sentence.
    """

    def __init__(self, app: ASGIApp, access: Access):
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused: RefusedError | None = None
        try:
            self._check(scope)
        except RefusedError as error:
            refused = error
        remember = refused is None and self.access.token is not None and self._in_address(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if remember:
                    cookie = f"{cookie_name(scope)}={self.access.token}; Path=/; HttpOnly; SameSite=Strict"
                    headers.append("Set-Cookie", cookie)
            await send(message)

        if refused is not None:
            shown = no_token_page() if refused.status == 401 and _shows_pages(scope) else refusal(refused)
            await shown(scope, receive, send_guarded)
            return
        started = False

        async def send_once(message: Message) -> None:
            nonlocal started
            started = True
            await send_guarded(message)

        try:
            await self.app(scope, receive, send_once)
        except Exception:
            if not started:
                await refusal(RefusedError(500, FAULT))(scope, receive, send_guarded)
            raise  # to the terminal

    def _in_address(self, scope: Scope) -> bool:
        """Return whether the address holds the token."""
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("token", [""])[0]
        return _same(given, self.access.token or "")

    def _in_cookie(self, scope: Scope) -> bool:
        """Return whether a cookie holds the token; those of others on this host are passed over, whatever is in them."""
        return _same(HTTPConnection(scope).cookies.get(cookie_name(scope), ""), self.access.token or "")

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found is None or not self.access.serves(found["six"] or found["name"]):
            raise RefusedError(403, _STRANGE_HOST)
        if _sent_from_elsewhere(scope):
            raise RefusedError(403, _STRANGE_ORIGIN)
        if self.access.token is not None and not (self._in_address(scope) or self._in_cookie(scope)):
            raise RefusedError(401, _NO_TOKEN)
        if scope["method"] in ("GET", "HEAD"):
            return
        if headers.get("origin", "").lower() not in (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}"):
            raise RefusedError(403, _STRANGE_ORIGIN)
        if not _same(headers.get(WRITE_HEADER, ""), self.access.write_token):
            raise RefusedError(403, _NO_WRITE_TOKEN)


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie; browsers keep those of all ports of a host together."""
    return f"embedstore-{(scope.get('server') or ('', 0))[1]}"


def _shows_pages(scope: Scope) -> bool:
    """Return whether it is a browser that asks for a page, not a script that asks for data."""
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


def _sent_from_elsewhere(scope: Scope) -> bool:
    """Return whether a browser says that another site made it ask, for more than the page that a link leads to."""
    headers = Headers(scope=scope)
    link = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not link


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _spelt(host: str) -> str:
    """Return a host as there is one spelling of it."""
    found = address_of(host)
    return host.lower() if found is None else str(found)
