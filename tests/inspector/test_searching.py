"""Search by words, by a sample, by a picture that is sent, and of a prototype's pictures."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
from helpers import encoded, store_of, unit_vectors
from inspected import ADDRESS, COUNT, HOSTILE_ID, client_of, drawn, name_of
from starlette.requests import Request
from starlette.testclient import TestClient
from test_security import sentence, write_token

import embedstore
from embedstore.analysis.odd_samples import Comparison
from embedstore.errors import MissingPackageError
from embedstore_inspector.refusals import RefusedError
from embedstore_inspector.routes import searching

V = {"v": "1"}


def ids(line: Path, positions: list[int]) -> list[str]:
    with embedstore.open(line / "store") as store:
        return [store.ids[at] for at in positions]


def send(client: TestClient, data: object, what: str = "picture", **headers: str) -> object:
    given = {"Origin": ADDRESS, "X-Embedstore-Token": write_token(client), **headers}
    return client.post(f"/api/search/{what}", params=V, content=data, headers=given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("部品 07", [7]),
        ("HAIRLINE", [n for n in range(COUNT) if n % 3 == 0]),
        ("night crack", [n for n in range(COUNT) if n % 3 == 0 and n % 2]),
        ("  night   crack  07 ", []),
        ("part 19", [19, 38, 39]),
        ("<img", [1]),
        ("nothing like it", []),
    ],
)
def test_words_are_found_in_ids_labels_and_attributes(
    client: TestClient, line: Path, text: str, expected: list[int]
) -> None:
    told = client.get("/api/find", params=V | {"text": text}).json()
    assert told["count"] == len(expected)
    assert set(ids(line, told["positions"])) == {HOSTILE_ID if n == 1 else name_of(n) for n in expected}


def test_of_words_there_are_only_so_many_and_no_work_is_done_twice(client: TestClient) -> None:
    response = client.get("/api/find", params=V | {"text": "x " * 501})
    assert response.status_code == 413
    assert "more than 1000 bytes" in sentence(response)["en"]
    assert client.get("/api/find", params=V | {"text": "部" * 334}).status_code == 413
    assert client.get("/api/find", params=V | {"text": "x" * 1000}).status_code == 200

    folds = 0

    class Folded(str):
        def casefold(self) -> str:
            nonlocal folds
            folds += 1
            return super().casefold()

    class Fields:
        field_names = ("id",)

        def __len__(self) -> int:
            return 2

        def text_field(self, name: str) -> object:
            return SimpleNamespace(texts=[Folded("Lid A"), Folded("Lid B")], codes=np.array([0, 1]))

    assert searching.matching(Fields(), "lid b LID a b lid").tolist() == []  # type: ignore[arg-type]
    assert folds == 2


def test_what_is_like_a_sample_is_what_query_says(client: TestClient, line: Path) -> None:
    told = client.get("/api/like", params=V | {"id": name_of(3)}).json()
    with embedstore.open(line / "store") as store:
        expected = store.query(id=name_of(3), top=60)
    assert ids(line, [hit["at"] for hit in told["hits"]]) == [hit.id for hit in expected]
    assert [hit["similarity"] for hit in told["hits"]] == pytest.approx([hit.similarity for hit in expected])


def test_a_picture_that_is_sent_is_embedded_by_the_stores_teacher(client: TestClient, line: Path) -> None:
    told = send(client, encoded(drawn(9))).json()  # type: ignore[attr-defined]
    assert ids(line, [told["hits"][0]["at"]]) == [name_of(9)]
    assert told["hits"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert told["version"] == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture", "is not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "is not a picture"),
        (encoded(drawn(1))[:200], "can't be decoded"),
        (b"P5 100000 100000 255\n", "claims"),
    ],
)
def test_what_is_no_picture_is_refused(client: TestClient, data: bytes, reason: str) -> None:
    response = send(client, data)
    assert response.status_code == 422  # type: ignore[attr-defined]
    assert reason in sentence(response)["en"]


def test_what_is_sent_is_bounded_while_it_streams(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_BYTES", 1 << 20)

    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 16)

    response = send(client, parts())
    assert response.status_code == 413  # type: ignore[attr-defined]
    assert "more than 1 MiB" in sentence(response)["en"]
    response = send(client, b"x", **{"Content-Length": str(2 << 20)})
    assert response.status_code == 413  # type: ignore[attr-defined]


def test_nothing_is_read_past_the_bound() -> None:
    sent = 0

    async def receive() -> dict[str, object]:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b""}, receive)
    with pytest.raises(RefusedError, match="more than 2500 bytes"):
        anyio.run(searching.received, request, 2500)
    assert sent == 3


def test_what_is_sent_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive() -> dict[str, object]:
        await anyio.sleep(1)
        return {"type": "http.request", "body": b"x", "more_body": False}

    monkeypatch.setattr(searching, "LONGEST", 0.05)
    request = Request({"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b""}, receive)
    with pytest.raises(RefusedError, match="within a minute") as raised:
        anyio.run(searching.received, request, 2500)
    assert raised.value.status == 408


def test_a_teacher_that_reads_no_text_says_so(client: TestClient) -> None:
    response = send(client, b"a scratch", "text")
    assert response.status_code == 501  # type: ignore[attr-defined]
    assert "reads no text" in sentence(response)["en"]


def test_vectors_of_a_declared_teacher_are_searched_by_samples_only(tmp_path: Path) -> None:
    with embedstore.create(tmp_path / "declared", teacher="theirs", dim=4):
        pass
    with client_of(tmp_path / "declared") as client:
        assert client.get("/api/store").json()["embeds"] is False


def test_a_teacher_that_can_not_be_had_is_told_in_one_sentence(tmp_path: Path) -> None:
    store_of(tmp_path / "store", unit_vectors(1, 3), labels=["a", "a", "b"]).close()  # of the teacher "by hand"
    with client_of(tmp_path / "store") as client:
        response = send(client, encoded(drawn(1)))
    assert response.status_code == 501  # type: ignore[attr-defined]
    assert "'by hand' is unknown" in sentence(response)["en"]


def test_the_pictures_of_a_prototype_are_its_members_the_nearest_first(client: TestClient, line: Path) -> None:
    with embedstore.open(line / "store") as store:
        comparison = Comparison(store)
        for prototype in range(len(comparison.names)):
            told = client.get("/api/members", params=V | {"prototype": prototype}).json()
            members = comparison.summary.members(prototype)
            assert set(ids(line, told["positions"])) == set(members)
            vectors = store.vectors([store.ids[at] for at in told["positions"]]).astype(float)
            away = np.linalg.norm(
                vectors - comparison.summary.vectors[prototype] / np.linalg.norm(comparison.summary.vectors[prototype]),
                axis=1,
            )
            assert (np.diff(away) > -1e-5).all()
    assert client.get("/api/members", params=V | {"prototype": len(comparison.names)}).status_code == 400


class Reader:
    """A teacher that reads: a text is embedded as one axis, by its length."""

    name, input_size, outputs = "reader", 16, {"embedding": 12}

    def __init__(self, fingerprint: str):
        self.fingerprint = fingerprint

    def embed(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        raise AssertionError("asked for a text")

    def embed_text(self, texts: list[str]) -> np.ndarray:
        return np.eye(12, dtype=np.float32)[[len(text) for text in texts]]


def test_words_are_read_by_a_teacher_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store_of(tmp_path / "store", np.eye(12)) as store:
        reader = Reader(store.fingerprint)
    loads: list[str] = []
    monkeypatch.setattr("embedstore.teachers.load_teacher", lambda spec, outputs: loads.append(spec) or reader)
    with client_of(tmp_path / "store") as client:
        for text, at in (("burr", 4), ("scratch", 7)):
            told = send(client, text.encode(), "text").json()  # type: ignore[attr-defined]
            assert told["hits"][0] == {"at": at, "similarity": pytest.approx(1)}
        assert send(client, b"x" * 1001, "text").status_code == 413  # type: ignore[attr-defined]
    assert loads == ["by hand"]  # once


def test_another_teacher_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_of(tmp_path / "store", np.eye(12)).close()
    monkeypatch.setattr("embedstore.teachers.load_teacher", lambda spec, outputs: Reader("0" * 32))
    with client_of(tmp_path / "store") as client:
        response = send(client, b"burr", "text")
    assert response.status_code == 409  # type: ignore[attr-defined]
    assert "was filled by the teacher" in sentence(response)["en"]


def test_without_pytorch_it_says_what_to_install(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(spec: str, outputs: object) -> None:
        raise MissingPackageError("This teacher needs PyTorch; install it with torchvision.")

    monkeypatch.setattr("embedstore.teachers.load_teacher", lacking)
    with client_of(line / "store") as client:
        response = send(client, encoded(drawn(1)))
    assert response.status_code == 501  # type: ignore[attr-defined]
    assert sentence(response)["ja"].startswith("必要なパッケージ")
