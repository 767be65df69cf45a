"""A run's scores beside a store whose pictures were renamed or taken again since: each stays with its picture, or is left out."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from embedstore.analysis.suggestions import StudentScores
from embedstore_cli.run_scores import held_out_scores
from embedstore_inspector.boards import Boards

TESTED, ASKED_TOO, LEARNED = "spot006.png", "spot007.png", "good000.png"
ROWS = toy_parts.parts(30, 10, 10)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    distill.train(toy_parts.make_store(place, ROWS, views=1), place / "run", quick(epochs=1))
    return place


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A folder with a store, its pictures and a finished run, of which the first two are on the test side."""
    return shutil.copytree(made, tmp_path / "here")


def build(here: Path) -> None:
    manifest = toy_parts.write_manifest(here / "parts.csv", ROWS)
    embedstore.build(here / "toy.store", here / "images", manifest=manifest)


def swap(here: Path, one: str, other: str) -> None:
    """Give two files each the name of the other, and bring the store to that."""
    images = here / "images"
    (images / one).rename(images / "between")
    (images / other).rename(images / one)
    (images / "between").rename(images / other)
    build(here)


def scores(here: Path) -> StudentScores:
    with embedstore.open(here / "toy.store") as store:
        return held_out_scores(here / "run", store)


def by_id(found: StudentScores) -> dict[str, tuple[float, ...]]:
    return dict(zip(found.ids, map(tuple, np.asarray(found.probabilities).tolist()), strict=True))


def test_a_score_goes_with_its_picture_and_a_learned_one_under_its_name_has_none(here: Path) -> None:
    before = scores(here)
    assert (before.left_out, before.by_name) == (0, False)
    swap(here, TESTED, LEARNED)
    after = scores(here)
    assert (after.left_out, after.by_name, after.held_out) == (0, False, True)
    assert by_id(after) == {LEARNED if one == TESTED else one: said for one, said in by_id(before).items()}


def test_a_score_of_a_picture_that_was_taken_again_is_left_out(here: Path) -> None:
    before = by_id(scores(here))
    toy_parts.draw("spot", 999).save(here / "images" / TESTED)
    build(here)
    after = scores(here)
    assert (after.left_out, after.by_name) == (1, False)
    assert by_id(after) == {one: said for one, said in before.items() if one != TESTED}


def test_without_the_version_that_the_run_learned_from_names_tell_and_that_is_said(here: Path) -> None:
    before = by_id(scores(here))
    swap(here, TESTED, LEARNED)
    with embedstore.open(here / "toy.store") as store:
        store.compact()
    after = scores(here)
    assert (after.left_out, after.by_name) == (0, True)
    assert by_id(after) == before


def test_a_page_that_is_open_while_names_go_round_follows_them(here: Path) -> None:
    before = scores(here)
    boards = Boards(here / "toy.store", student=before)
    swap(here, TESTED, LEARNED)
    swap(here, ASKED_TOO, TESTED)
    found = boards.newest().student
    assert found is not None
    now = {TESTED: LEARNED, ASKED_TOO: TESTED}
    assert by_id(found) == {now.get(one, one): said for one, said in by_id(before).items()}
