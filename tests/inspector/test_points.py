"""What the map and the gallery read, against the store's own answers."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inspected import COUNT, HOSTILE_ID, client_of, name_of
from starlette.testclient import TestClient
from test_security import sentence

import embedstore
from embedstore.analysis.odd_samples import find_odd
from embedstore.analysis.suggestions import StudentScores
from embedstore_inspector import maps
from embedstore_inspector.boards import Board
from embedstore_inspector.routes.points import student_errors

V = {"v": "1"}


def test_the_store_is_told_with_its_fields(client: TestClient, line: Path) -> None:
    told = client.get("/api/store").json()
    assert (told["version"], told["name"], told["count"], told["teacher"]) == (1, "store", COUNT, "pixels")
    assert told["fields"]["label"] == {"values": ["good", "crack"], "counts": [0, 26, 14]}
    assert told["fields"]["mode"] == {"values": ["hairline"], "counts": [26, 14]}
    assert told["fields"]["split"] == {"values": [], "counts": [COUNT]}
    assert (told["maps"], told["reads_text"], told["student"]) == (["pca"], False, False)


def test_the_codes_of_a_field_name_each_samples_value(client: TestClient, line: Path) -> None:
    codes = np.frombuffer(client.get("/api/codes", params=V | {"field": "label"}).content, "<u4")
    with embedstore.open(line / "store") as store:
        assert [["none", "good", "crack"][code] for code in codes] == store.labels


def test_oddness_is_what_find_odd_says(client: TestClient, line: Path) -> None:
    found = client.get("/api/oddness", params=V).content
    distance, percentile = np.frombuffer(found[: 8 * COUNT], "<f4").reshape(2, COUNT)
    nearest = np.frombuffer(found[8 * COUNT :], "<i4")
    told = client.get("/api/comparison", params=V).json()
    with embedstore.open(line / "store") as store:
        odd = find_odd(store, top=COUNT)
        at = {name: position for position, name in enumerate(store.ids)}
        for label, listed in odd.by_label.items():
            (shown,) = [one["listed"] for one in told["odd"] if one["label"] == label]
            assert shown == [[at[one.id], one.alike] for one in listed]
            for one in listed:
                assert distance[at[one.id]] == pytest.approx(one.distance, abs=1e-6)
                assert percentile[at[one.id]] == pytest.approx(
                    np.nan if one.percentile is None else one.percentile, nan_ok=True
                )
                assert one.prototype is not None
                assert told["prototypes"][nearest[at[one.id]]] == one.prototype.name
        assert told["near"] == {label: loss.near for label, loss in odd.against.averaging_loss.items()}
        assert told["against"]["en"] == odd.compared_with.en


def test_some_samples_are_told(client: TestClient, line: Path) -> None:
    with embedstore.open(line / "store") as store:
        at = store.positions([name_of(3), HOSTILE_ID]).tolist()
    told = client.get("/api/samples", params=V | {"at": f"{at[0]},{at[1]}"}).json()
    assert [one["id"] for one in told["samples"]] == [name_of(3), HOSTILE_ID]
    assert told["samples"][0] | {"picture": "", "large": ""} == {
        "at": at[0], "id": name_of(3), "label": "crack", "mode": "hairline", "split": None, "group": "part 1",
        "verdict": None, "picture": "", "large": "",
    }  # fmt: skip
    assert client.get("/api/sample", params=V | {"id": HOSTILE_ID}).json() == {"version": 1, **told["samples"][1]}
    assert client.get(told["samples"][1]["picture"]).headers["content-type"] == "image/webp"


@pytest.mark.parametrize("at", ["", "x", "-1", "40", "1,,2", "1.5", "٣", "9" * 30, ",".join(["1"] * 201)])
def test_positions_that_are_none_are_refused(client: TestClient, at: str) -> None:
    response = client.get("/api/samples", params=V | {"at": at})
    assert response.status_code == 400
    assert "positions below 40" in sentence(response)["en"]


@pytest.mark.parametrize("name", ["", "uri", "attribute:shift", "../label"])
def test_fields_that_the_page_does_not_show_are_refused(client: TestClient, name: str) -> None:
    response = client.get("/api/codes", params=V | {"field": name})
    assert response.status_code == 400
    sentence(response)


PATHS = ["/api/places", "/api/codes?field=label", "/api/oddness", "/api/comparison", "/api/samples?at=1", "/card?id=x",
         "/prototypes", "/api/find?text=a", "/api/like?id=x", "/api/members?prototype=0", "/api/student",
         "/api/sample?id=x", "/api/suggestions"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("version", ["", "0", "2", "01", "x"])
def test_a_page_of_another_version_is_refused_so_that_two_are_never_mixed(
    client: TestClient, path: str, version: str
) -> None:
    response = client.get(f"{path}{'&' if '?' in path else '?'}v={version}")
    assert response.status_code == 409
    assert "load the page again" in sentence(response)["en"]


def test_a_change_on_the_disk_is_noticed_and_shown_when_asked_for(own_line: Path) -> None:
    with client_of(own_line / "store") as client:
        assert client.get("/api/state").json() | {"key": ""} == {
            "key": "", "version": 1, "newest": 1, "maps": ["pca"], "compared": 0, "total": COUNT,
        }  # fmt: skip
        with embedstore.open(own_line / "store") as store, store.write() as writing:
            writing.set("label", {name_of(3): "good"})
        assert client.get("/api/state").json()["newest"] == 2
        assert client.get("/api/codes", params={"v": "1", "field": "label"}).status_code == 200  # as it was, still
        told = client.get("/api/store").json()
        assert (told["version"], told["fields"]["label"]["counts"]) == (2, [0, 27, 13])
        assert client.get("/api/codes", params={"v": "1", "field": "label"}).status_code == 409
        answer = client.get("/api/places", params={"v": "2"})
        assert answer.headers["x-store-version"] == "2"


def test_the_summary_that_is_named_is_compared_with(own_line: Path) -> None:
    with embedstore.open(own_line / "store") as store:
        store.summarize("class-mean", name="means")
    with client_of(own_line / "store", against="means") as client:
        told = client.get("/api/comparison", params=V).json()
    assert told["prototypes"] == ["crack", "good"]
    assert "the summary 'means'" in told["against"]["en"]


def test_a_summary_that_is_not_there_is_told_before_anything_is_served(line: Path) -> None:
    with pytest.raises(embedstore.EmbedstoreError, match="has no summary 'nope'"):
        client_of(line / "store", against="nope")


def test_a_students_error_is_what_it_believes_of_other_labels(line: Path) -> None:
    scores = StudentScores(
        [name_of(3), name_of(2), "gone.png"],
        ["crack", "good"],
        np.array([[0.25, 0.75], [0.1, 0.9], [0.5, 0.5]]),
        held_out=True,
    )
    with embedstore.open(line / "store") as store:
        errors = student_errors(store, scores)
        at = store.positions([name_of(3), name_of(2)])
    assert errors[at].tolist() == pytest.approx([0.75, 0.1])
    assert np.isnan(np.delete(errors, at)).all()
    with client_of(line / "store", student=scores) as client:
        assert client.get("/api/store").json()["student"] is True
        sent = np.frombuffer(client.get("/api/student", params=V).content, "<f4")
    assert np.array_equal(sent, errors.astype(np.float32), equal_nan=True)


def test_without_a_run_there_is_no_student(client: TestClient) -> None:
    response = client.get("/api/student", params=V)
    assert response.status_code == 404
    assert "--run" in sentence(response)["en"]


def test_a_store_without_labels_says_why_nothing_is_compared(tmp_path: Path) -> None:
    from helpers import store_of, unit_vectors

    store_of(tmp_path / "bare", unit_vectors(1, 5)).close()
    with client_of(tmp_path / "bare") as client:
        told: dict[str, Any] = client.get("/api/store").json()
        assert told["fields"]["label"] == {"values": [], "counts": [5]}
        assert len(client.get("/api/places", params=V).content) == 5 * 4
        response = client.get("/api/comparison", params=V)
        assert response.status_code == 400
        assert "label" in sentence(response)["en"]


def test_a_map_that_is_kept_is_offered_and_sent(own_line: Path) -> None:
    given = np.random.default_rng(1).normal(size=(COUNT, 2)).astype(np.float32)
    with embedstore.open(own_line / "store") as store:
        maps.keep_map(store, "umap", given)
    with client_of(own_line / "store") as client:
        assert client.get("/api/store").json()["maps"] == ["pca", "umap"]
        assert client.get("/api/places", params=V | {"method": "umap"}).content == maps.packed(given)
        for method in ("tsne", "../umap", ""):
            response = client.get("/api/places", params=V | {"method": method})
            assert response.status_code == 400
            assert "No map" in sentence(response)["en"]


def test_who_gives_up_waiting_does_not_stop_the_comparison_for_others(line: Path) -> None:
    async def impatient_then_patient() -> int:
        board = Board(line / "store", None, None)
        first = asyncio.create_task(board.compared_with(lambda found: 1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return await board.compared_with(lambda found: len(found.samples))

    assert asyncio.run(impatient_then_patient()) == COUNT
