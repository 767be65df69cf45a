"""The benchmark of suggestions in small: what is planted, who finds it, and how figures are told."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "bench"))

import suggestions as bench  # noqa: E402

from embedstore.vectors import unit_length  # noqa: E402

COUNT, CLASSES = 400, 3
RNG = np.random.default_rng(8)
PARTS = np.sort(RNG.permutation(COUNT) % 150)
LABELS = PARTS % CLASSES
VECTORS = unit_length(
    np.eye(CLASSES, 8)[LABELS] + 0.25 * RNG.normal(size=(150, 8))[PARTS] + 0.02 * RNG.normal(size=(COUNT, 8))
)
VECTORS = VECTORS.astype(np.float64)
WANTED = COUNT // 20


@pytest.mark.parametrize("way", bench.WAYS)
def test_one_label_in_twenty_is_wrong_and_the_same_for_a_seed(way: str) -> None:
    planted = bench.plant(VECTORS, LABELS, PARTS, way, 3)
    wrong = int((planted != LABELS).sum())
    assert wrong == WANTED if way != "part" else WANTED - 2 <= wrong <= WANTED
    assert set(planted.tolist()) <= set(range(CLASSES))
    np.testing.assert_array_equal(planted, bench.plant(VECTORS, LABELS, PARTS, way, 3))
    assert (planted != bench.plant(VECTORS, LABELS, PARTS, way, 4)).any()


def test_parts_are_wrong_as_a_whole() -> None:
    planted = bench.plant(VECTORS, LABELS, PARTS, "part", 0)
    for part in np.unique(PARTS[planted != LABELS]):
        assert len(set(planted[part == PARTS].tolist())) == 1
        assert (planted != LABELS)[part == PARTS].all()


def test_look_alikes_get_the_label_of_the_nearest_picture_of_another_label() -> None:
    planted = bench.plant(VECTORS, LABELS, PARTS, "look-alike", 0)
    directions = unit_length(VECTORS - VECTORS.mean(axis=0)).astype(float)
    nearest = []
    for at in range(COUNT):
        others = [b for b in range(COUNT) if LABELS[b] != LABELS[at] and PARTS[b] != PARTS[at]]
        best = max(others, key=lambda b, a=at: float(directions[a] @ directions[b]))  # type: ignore[misc]
        nearest.append((float(directions[at] @ directions[best]), int(LABELS[best])))
    quarter = sorted((similarity for similarity, _ in nearest), reverse=True)[: COUNT // 4]
    for at in np.flatnonzero(planted != LABELS):
        assert planted[at] == nearest[at][1]
        assert nearest[at][0] >= quarter[-1]


def test_everybody_is_asked_of_the_same_and_finds_what_is_easy(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cleanlab", reason="the extra 'bench' carries what the benchmark compares with")
    planted = bench.plant(VECTORS, LABELS, PARTS, "random", 1)
    wrong = planted != LABELS
    found = bench.rankings(VECTORS, planted, PARTS, 1)
    assert len(found) == 4 + 2 * 2 * 4
    for name, (listed, seconds) in found.items():
        assert len(set(listed.tolist())) == len(listed), name
        assert wrong[listed[: WANTED // 2]].all(), name
        assert seconds > 0
    assert wrong[found[bench.OURS][0][:WANTED]].mean() > 0.9

    figures = {bench.OURS: [(0.9, 0.6, 2.0), (0.8, 0.5, 2.0)], "theirs": [(0.5, 0.4, 1.0), (0.5, 0.4, 1.0)]}
    bench.table("planted", figures)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split() == [*bench.OURS.split(), "0.850", "0.050", "0.550", "2.00", "1.00"]
    assert lines[-1].split() == ["theirs", "0.500", "0.000", "0.400", "1.00", "0.50"]
