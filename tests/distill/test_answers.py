"""Ways of asking a student: the neighbours are those that a plain search finds, and all ways belong to one student."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import toy_parts
from safetensors.torch import load_file, save_file
from toy_parts import quick

import distill
from distill.answers.neighbours import TEMPERATURE, VOICES, Neighbours
from distill.answers.standard import standard
from distill.students import make_student
from distill.training import run_directory
from distill.training.evaluate import ask
from distill.training.loop import Run
from distill.training.pictures import StudentPictures
from distill.training.task_file import read_task
from embedstore import EmbeddingStore, Sample
from embedstore.errors import SettingsError, TrainingError
from embedstore.views import WHOLE

WAYS = ("head", "neighbours", "both", "distribution")
Floats = npt.NDArray[np.float64]


def made(seed: int, count: int = 60, dim: int = 7, classes: int = 3) -> tuple[Floats, npt.NDArray[np.int64], list[str]]:
    """Return features far from the origin, of very different spreads, with labels and parts of one to three pictures."""
    random = np.random.default_rng(seed)
    features = 50 + random.normal(size=(count, dim)) * 10.0 ** (np.arange(dim) / 2)
    return (
        features,
        random.permutation(np.arange(count) % classes),
        [f"part {at}" for at in random.integers(0, 30, count)],
    )


def neighbours_of(features: Floats, labels: npt.NDArray[np.int64], parts: list[str]) -> Neighbours:
    return Neighbours.of(torch.tensor(features, dtype=torch.float32), labels, parts)


def asked(neighbours: Neighbours, features: Floats) -> Floats:
    return neighbours(torch.tensor(features, dtype=torch.float32), torch.zeros(len(features), 3)).numpy()


def by_hand(features: Floats, labels: npt.NDArray[np.int64], parts: list[str], queries: Floats) -> Floats:
    """Return the probabilities as the definition says, one picture after the other."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    rows = []
    for query in (queries - centre) / spread:
        best: dict[tuple[int, str], float] = {}
        for point, label, part in zip((features - centre) / spread, labels, parts, strict=True):
            cosine = float(query @ point / np.linalg.norm(query) / np.linalg.norm(point))
            best[int(label), part] = max(cosine, best.get((int(label), part), -1.0))
        means = []
        for label in range(int(labels.max()) + 1):
            nearest = sorted((cosine for (own, _), cosine in best.items() if own == label), reverse=True)[:VOICES]
            means.append(np.mean(np.exp(np.array(nearest) / TEMPERATURE)))
        rows.append(np.array(means) / sum(means))
    return np.array(rows)


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_say_what_a_plain_search_says(seed: int) -> None:
    features, labels, parts = made(seed)
    queries, *_ = made(seed + 100, count=20)
    found = asked(neighbours_of(features, labels, parts), queries)
    np.testing.assert_allclose(found, by_hand(features, labels, parts, queries), atol=2e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_the_order_of_training_pictures_decides_nothing() -> None:
    features, labels, parts = made(1)
    queries, *_ = made(2, count=20)
    order = np.random.default_rng(3).permutation(len(features))
    shuffled = neighbours_of(features[order], labels[order], [parts[at] for at in order])
    np.testing.assert_allclose(
        asked(shuffled, queries), asked(neighbours_of(features, labels, parts), queries), atol=1e-5
    )


def test_a_rare_class_is_not_outvoted_and_a_part_has_one_voice() -> None:
    """Two rare pictures among a hundred: where the nearest of all vote, each of theirs has more common ones around it."""
    random = np.random.default_rng(0)
    rare = np.array([[4.0, 4.0, 0.0], [4.0, 3.9, 0.1]])
    common = np.array([4.0, 3.6, 0.6]) + random.normal(size=(100, 3)) * 0.05
    background = random.normal(size=(100, 3))
    features = np.concatenate([rare, common, background])
    labels = np.array([0] * 2 + [1] * 200)
    parts = ["a", "b", *(f"c{at}" for at in range(200))]
    query = np.array([[4.0, 3.95, 0.05]])
    (said,) = asked(neighbours_of(features, labels, parts), query)
    assert said[0] > said[1]
    # A third picture, of a part that is there already, and farther off: nobody new speaks.
    more = neighbours_of(np.concatenate([features, features[-1:]]), np.append(labels, 1), [*parts, parts[-1]])
    np.testing.assert_allclose(more.classes, neighbours_of(features, labels, parts).classes)
    assert len(more.points) == len(features) + 1


def test_a_feature_that_never_varied_in_training_says_nothing() -> None:
    features, labels, parts = made(4)
    queries, *_ = made(5, count=20)
    dead = neighbours_of(np.column_stack([features, np.full(len(features), 3.0)]), labels, parts)
    wild = asked(dead, np.column_stack([queries, np.linspace(-1e6, 1e6, len(queries))]))
    np.testing.assert_allclose(wild, by_hand(features, labels, parts, queries), atol=2e-5)


def test_noise_of_rounding_is_no_variation() -> None:
    """A feature that is large and always the same, as float32 computes it in batches of several sizes."""
    features = torch.linspace(-1, 1, 20).outer(torch.tensor([1.0, 0.01, 0]))
    features[:, 2] = 100
    features[::3, 2] = torch.nextafter(torch.tensor(100.0), torch.tensor(200.0))
    assert features[:, 2].std() > 1e-6 * features.std(dim=0).max()
    centre, scale = standard(features)
    spread = float(np.linspace(-1, 1, 20).std())
    np.testing.assert_allclose(scale, [1 / spread, 100 / spread, 0], rtol=1e-5)
    np.testing.assert_allclose(centre, [0, 0, 100], atol=1e-5)


def test_neighbours_are_where_the_features_are() -> None:
    _, labels, parts = made(0)
    elsewhere = Neighbours.of(torch.zeros(len(labels), 7, device="meta"), labels, parts)
    assert {tensor.device.type for tensor in vars(elsewhere).values()} == {"meta"}


@pytest.fixture(scope="module")
def runs(store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The same student, asked in each way."""
    folder = tmp_path_factory.mktemp("answers")
    return {way: distill.train(store, folder / way, quick(policy="own", answer=way)) for way in WAYS}


def scores(path: Path) -> tuple[list[str], Floats]:
    held, _ = run_directory.read_scores(path)
    return [one.id for one in held], np.array([one.probabilities for one in held])


def test_both_is_the_mean_of_head_and_neighbours(runs: dict[str, Run]) -> None:
    (ids, head), (_, near), (same_ids, both), _ = (scores(runs[way].path) for way in WAYS)
    assert ids == same_ids
    np.testing.assert_allclose(both, (head + near) / 2, atol=1e-12)
    assert np.abs(head - near).max() > 0.01
    students = [(runs[way].path / "student.safetensors").read_bytes() for way in WAYS]
    assert len(set(students)) == 1


def test_neighbours_are_the_labelled_training_pictures_and_flips_are_averaged(
    runs: dict[str, Run], store: EmbeddingStore
) -> None:
    student = make_student("small", 2, 32, 0)
    run_directory.load_student(runs["neighbours"].path, student)
    student.eval()
    pictures = StudentPictures(store, 32)

    def seen(samples: list[Sample], way: tuple[int, ...] = ()) -> Floats:
        pixels = pictures.cut(store.positions([one.id for one in samples]), [WHOLE] * len(samples))
        with torch.inference_mode():
            return student(pixels.flip(way) if way else pixels)[0].double().numpy()

    samples = list(store.samples)
    train = [one for one in samples if one.split == "train" and one.label is not None]
    assert len(train) == 60
    ids, found = scores(runs["neighbours"].path)
    by_id = {one.id: one for one in samples}
    tested = [by_id[name] for name in ids]
    labels = np.array([int(one.label == "good") for one in train])  # classes are sorted: defect, good
    parts = [str(one.group) for one in train]
    features = seen(train)
    varying = features.std(axis=0) > 1e-6 * features.std(axis=0).max()  # of some channels nothing ever comes
    expected = np.mean(
        [
            by_hand(features[:, varying], labels, parts, seen(tested, way)[:, varying])
            for way in ((), (2,), (3,), (2, 3))
        ],
        axis=0,
    )
    pictures.close()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_evaluating_gives_the_same_scores_without_the_training_pictures(
    way: str, runs: dict[str, Run], tmp_path: Path
) -> None:
    rows = toy_parts.everything()
    own = toy_parts.make_store(tmp_path, rows)
    run = shutil.copytree(runs[way].path, tmp_path / "run")
    before = (run / "scores.csv").read_bytes()
    for row in rows:
        if row.split == "train":
            (tmp_path / "images" / row.path).unlink()
    (run / "scores.csv").unlink()
    assert distill.evaluate(run, store=own) == runs[way].report
    assert (run / "scores.csv").read_bytes() == before


def test_a_run_of_an_earlier_release_is_asked_by_its_head(runs: dict[str, Run], tmp_path: Path) -> None:
    run = shutil.copytree(runs["head"].path, tmp_path / "run")
    description = json.loads((run / "run.json").read_text("utf-8"))
    assert description["settings"].pop("answer") == "head"
    (run / "run.json").write_text(json.dumps(description), "utf-8")
    assert not (run / "memory.safetensors").exists()
    assert distill.evaluate(run) == runs["head"].report


def lost(file: Path) -> None:
    file.unlink()


def nonsense(file: Path) -> None:
    file.write_bytes(b"nonsense")


def of_another_student(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"points": kept["points"][:, :5].contiguous()}, file)


def of_an_unknown_part(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"voices": kept["voices"] + 1}, file)


def of_classes_out_of_order(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"classes": kept["classes"].flip(0).contiguous()}, file)


def of_one_class_only(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"classes": torch.zeros_like(kept["classes"])}, file)


def of_a_single_number(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"points": torch.tensor(1.0)}, file)


def of_wider_numbers(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"points": kept["points"].double()}, file)


def of_voices_that_are_no_numbers_of_voices(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"voices": kept["voices"].float()}, file)


def of_no_numbers(file: Path) -> None:
    kept = load_file(file)
    kept["points"][3, 4] = torch.nan
    save_file(kept, file)


def lacking_a_tensor(file: Path) -> None:
    kept = load_file(file)
    del kept["scale"]
    save_file(kept, file)


@pytest.mark.parametrize(
    "harm",
    [
        of_another_student,
        of_an_unknown_part,
        of_classes_out_of_order,
        of_one_class_only,
        of_a_single_number,
        of_wider_numbers,
        of_voices_that_are_no_numbers_of_voices,
        of_no_numbers,
        lacking_a_tensor,
    ],
)
def test_what_are_no_neighbours_for_this_student_is_refused(
    harm: Callable[[Path], None], runs: dict[str, Run], tmp_path: Path
) -> None:
    file = Path(shutil.copy(runs["both"].path / "memory.safetensors", tmp_path))
    student = make_student("small", 2, 32, 0)
    assert Neighbours.fitting(load_file(file), student) is not None
    harm(file)
    assert Neighbours.fitting(load_file(file), student) is None


@pytest.mark.parametrize("harm", [lost, nonsense, of_an_unknown_part])
def test_damaged_neighbours_are_refused_and_written_anew(
    harm: Callable[[Path], None], runs: dict[str, Run], store: EmbeddingStore, tmp_path: Path
) -> None:
    run = shutil.copytree(runs["both"].path, tmp_path / "run")
    harm(run / "memory.safetensors")
    again_with = re.escape(f"distill train STORE --task '{run / 'task.toml'}' --out '{run}' --resume")
    with pytest.raises(
        TrainingError, match=f"memory.safetensors' is missing or damaged; write it anew with: {again_with}"
    ):
        distill.evaluate(run)
    again = distill.train(store, run, read_task(run / "task.toml"), resume=True)
    assert again.report == runs["both"].report
    assert (run / "memory.safetensors").read_bytes() == (runs["both"].path / "memory.safetensors").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_a_finished_run_can_be_asked_in_any_way(
    way: str, runs: dict[str, Run], store: EmbeddingStore, tmp_path: Path
) -> None:
    run = shutil.copytree(runs["head"].path, tmp_path / "run")
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    held = ask(run, way)
    ids, expected = scores(runs[way].path)
    assert [one.id for one in held] == ids
    np.testing.assert_allclose([one.probabilities for one in held], expected, atol=1e-12)
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before  # nothing is written


def test_an_unknown_answer_is_refused(runs: dict[str, Run]) -> None:
    with pytest.raises(SettingsError, match="The answer 'nearest' is unknown; use one of head, neighbours, both, dist"):
        ask(runs["head"].path, "nearest")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"good": None}, "'good' is gone"),
        ({"defect": "good"}, "'defect' is gone"),
        ({"defect": "scratch"}, "'defect' is gone"),
    ],
)
@pytest.mark.parametrize("way", ["neighbours", "distribution"])
def test_training_pictures_of_other_labels_than_the_students_are_refused(
    way: str, labels: dict[str, str | None], told: str, runs: dict[str, Run], tmp_path: Path
) -> None:
    rows = toy_parts.everything()
    changed = [
        replace(row, label=labels.get(row.label, row.label)) if row.split == "train" and row.label else row
        for row in rows
    ]
    own = toy_parts.make_store(tmp_path, changed)
    with pytest.raises(
        TrainingError, match=f"labels of the run's training pictures have changed in its store \\({told}"
    ):
        ask(runs["head"].path, way, store=own)
    assert len(ask(runs["head"].path, "head", store=own)) == len(scores(runs["head"].path)[0])


def test_one_training_picture_of_a_new_label_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    rows = toy_parts.everything()
    at = next(at for at, row in enumerate(rows) if row.split == "train" and row.label == "good")
    rows[at] = replace(rows[at], label="scratch")
    own = toy_parts.make_store(tmp_path, rows)
    with pytest.raises(
        TrainingError, match=r"in its store \('scratch' is new\), so its student can't be asked by them"
    ):
        ask(runs["head"].path, "both", store=own)


def test_a_student_that_diverged_is_told_of(runs: dict[str, Run], tmp_path: Path) -> None:
    run = shutil.copytree(runs["head"].path, tmp_path / "run")
    weights = load_file(run / "student.safetensors")
    weights["trunk.layers.0.0.weight"].fill_(torch.nan)
    save_file(weights, run / "student.safetensors")
    for way in WAYS:
        with pytest.raises(TrainingError, match="The student's answers are no numbers: its training diverged"):
            ask(run, way)
