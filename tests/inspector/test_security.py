"""Who is answered: names, origins, tokens; and what every answer forbids the page."""

import base64
import hashlib
import socket
from pathlib import Path

import pytest
from inspected import ADDRESS, client_of
from starlette.testclient import TestClient

from embedstore_inspector.security import POLICY, WRITE_HEADER, Access, is_loopback

TOKEN = "right-token"  # noqa: S105
EVERYWHERE = "0.0.0.0"  # noqa: S104
PICTURE = "/api/search/picture?v=1"


def sentence(response: object) -> dict[str, str]:
    """Return what a refusal says, in both languages."""
    said = response.json()["error"]  # type: ignore[attr-defined]
    assert set(said) == {"en", "ja"}
    assert said["en"].endswith(".")
    assert said["ja"].endswith(("。", "）"))
    return dict(said)


@pytest.mark.parametrize(
    "path", ["/", "/api/store", "/static/main.js", "/nowhere", "/api/codes?v=1&field=x", "/thumbnail"]
)
def test_every_answer_keeps_the_page_to_itself(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "set-cookie" not in headers


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in POLICY
    assert "data:" not in POLICY


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "localhost:9000", "LOCALHOST"])
def test_this_machine_is_answered_under_its_own_names(client: TestClient, host: str) -> None:
    assert client.get("/api/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.5:8765",
        "",
        "a b",
        "[::1",
    ],
)
def test_a_name_that_was_rebound_to_us_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/api/state", headers={"Host": host})
    assert response.status_code == 403
    assert "does not go by that name" in sentence(response)["en"]


def write_token(client: TestClient) -> str:
    html = client.get("/").text
    return html.split('name="write-token" content="')[1].split('"')[0]


def post(client: TestClient, path: str = PICTURE, **headers: str | bytes) -> object:
    good = {"Origin": ADDRESS, WRITE_HEADER: write_token(client)}
    return client.post(path, content=b"no picture", headers={k: v for k, v in (good | headers).items() if v})


def test_a_write_with_origin_and_token_comes_through(client: TestClient) -> None:
    assert post(client).status_code == 422  # type: ignore[attr-defined]  # as far as the decoder


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        "http://127.0.0.1:8766",
        "http://127.0.0.1.evil.example:8765",
        "http://localhost:8765",
    ],
)
def test_a_write_from_another_page_is_refused(client: TestClient, origin: str) -> None:
    response = post(client, Origin=origin)
    assert response.status_code == 403  # type: ignore[attr-defined]
    assert "another page" in sentence(response)["en"]


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_a_write_without_the_pages_token_is_refused(client: TestClient, token: str) -> None:
    response = post(client, **{WRITE_HEADER: token.encode()})
    assert response.status_code == 403  # type: ignore[attr-defined]
    assert "lacks the token" in sentence(response)["en"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/api/triage", "/api/undo", "/api/store"])
def test_every_route_that_is_no_get_is_guarded_those_to_come_too(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 403


def test_each_server_has_a_token_of_its_own(line: Path) -> None:
    assert len({Access().write_token for _ in range(5)}) == 5
    assert len(Access().write_token) >= 32


@pytest.fixture
def shared(line: Path) -> TestClient:
    """A client of a server on all interfaces, which others can reach."""
    access = Access(EVERYWHERE, token=TOKEN)
    client = client_of(line / "store", access=access, base="http://192.168.1.5:8765")
    client.access = access  # type: ignore[attr-defined]
    return client


def test_a_server_that_others_can_reach_asks_for_its_token(shared: TestClient) -> None:
    for path in ("/", "/api/store", "/static/main.js", "/thumbnail", "/?token=wrong", "/?token="):
        response = shared.get(path)
        assert response.status_code == 401, path
        assert "set-cookie" not in response.headers
        assert "asks for its token" in sentence(response)["en"]


def test_a_browser_without_the_token_gets_a_page_that_says_what_to_do(shared: TestClient) -> None:
    answer = shared.get("/?token=wrong", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    for words in ("embedstore serve", "?token=", "look at its terminal", "端末"):
        assert words in answer.text
    assert TOKEN not in answer.text
    assert shared.access.write_token not in answer.text  # type: ignore[attr-defined]
    policy, style = answer.headers["content-security-policy"], answer.text.split("<style>")[1].split("</style>")[0]
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_token_of_the_address_is_remembered_in_a_cookie(shared: TestClient) -> None:
    response = shared.get("/?token=right-token")
    assert response.status_code == 200
    cookie = response.headers["set-cookie"]
    assert cookie.endswith("Path=/; HttpOnly; SameSite=Strict")
    assert shared.get("/api/store").status_code == 200  # by the cookie
    assert "right-token" not in response.text


@pytest.mark.parametrize(
    "cookie", ["embedstore-8765=wrong", "other=right-token", "embedstore-80=right-token", "=;==", "\u00e9"]
)
def test_another_cookie_does_not_help(shared: TestClient, cookie: str) -> None:
    assert shared.get("/api/store", headers={"Cookie": cookie.encode("latin-1")}).status_code == 401  # type: ignore[dict-item]


@pytest.mark.parametrize("others", ['prefs={"a":1,"b":2}', "a[b]=1", "=;==", "x", '"', "\u00e9=\u00e9"])
def test_the_cookies_of_neighbours_lock_nobody_out(shared: TestClient, others: str) -> None:
    both = f"{others}; embedstore-8765=right-token".encode("latin-1")
    assert shared.get("/api/store", headers={"Cookie": both}).status_code == 200  # type: ignore[dict-item]


def test_the_token_does_not_help_against_a_strange_name_or_page(shared: TestClient) -> None:
    assert shared.get("/api/store?token=right-token", headers={"Host": "evil.example"}).status_code == 403
    headers = {"Origin": "http://evil.example", WRITE_HEADER: "x"}
    assert shared.post(PICTURE + "&token=right-token", headers=headers).status_code == 403


def test_a_named_host_is_answered_under_its_name_only(line: Path) -> None:
    client = client_of(line / "store", access=Access("line-3.plant", token=TOKEN), base="http://line-3.plant:8765")
    assert client.get(f"/api/state?token={TOKEN}").status_code == 200
    for host in ("localhost", "10.0.0.1", "line-4.plant"):
        assert client.get(f"/api/state?token={TOKEN}", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    ("host", "answered", "refused"),
    [
        ("127.0.0.2", ["127.0.0.2:8765", "127.0.0.1", "localhost"], ["127.0.0.3", "evil.example"]),
        ("0:0:0:0:0:0:0:1", ["[::1]:8765", "[0:0::1]", "localhost"], ["[::2]", "evil.example"]),
        ("FD00:0:0:0:0:0:0:0005", ["[fd00::5]:8765", "[fd00:0::5]"], ["[fd00::6]", "localhost"]),
        ("0:0::0", ["[fd00::5]:8765", "10.0.0.1", "localhost"], ["evil.example"]),
        ("Line-3.Plant", ["line-3.plant"], ["line-3", "127.0.0.1"]),
    ],
)
def test_a_host_goes_by_its_own_name_however_it_is_spelt(
    line: Path, host: str, answered: list[str], refused: list[str]
) -> None:
    client = client_of(line / "store", access=Access(host))
    assert [client.get("/api/state", headers={"Host": one}).status_code for one in answered] == [200] * len(answered)
    assert [client.get("/api/state", headers={"Host": one}).status_code for one in refused] == [403] * len(refused)


def test_no_name_is_looked_up(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> str:
        raise AssertionError("asked DNS")

    for name in ("getfqdn", "gethostbyaddr", "gethostbyname_ex", "getaddrinfo"):
        monkeypatch.setattr(socket, name, asked)
    monkeypatch.setattr(socket, "gethostname", lambda: "Line-3")
    served = Access(EVERYWHERE).serves
    assert [served(one) for one in ("line-3", "line-3.local", "192.168.1.5", "line-4", "evil.example")] == [
        True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_to_the_page_and_no_more(client: TestClient, site: str) -> None:
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    for path in ("/api/find?v=1&text=a", "/api/store", "/thumbnail", "/card?v=1&id=x", "/static/main.js"):
        for headers in (link, {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}):
            response = client.get(path, headers=headers)
            assert response.status_code == 403
            assert "another page" in sentence(response)["en"]
    assert client.get("/", headers=link | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403
    for own in ("same-origin", "none"):
        assert client.get("/api/store", headers={"Sec-Fetch-Site": own}).status_code == 200


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("line-3.plant", False),
        ("10.0.0.1", False),
    ],
)
def test_which_hosts_only_this_machine_can_reach(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here


def test_a_fault_of_our_own_says_nothing_of_our_insides(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedstore_inspector.boards import Boards

    client = client_of(line / "store")
    monkeypatch.setattr(Boards, "on_disk", lambda self: 1 / 0)
    response = client.get("/api/state")
    assert response.status_code == 500
    assert "fault of its own" in sentence(response)["en"]
    assert "ZeroDivision" not in response.text
    assert response.headers["content-security-policy"] == POLICY
