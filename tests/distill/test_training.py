"""The training loop: what a run learns, what it depends on, and what it writes down."""

import json
import math
import shutil
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_parts
from safetensors.torch import load_file
from torch import Tensor, nn
from toy_parts import Part, quick

import distill
import embedstore
from distill.losses import BatchTargets, make_loss
from distill.source import contents_of
from distill.students import SmallTrunk, make_projection, make_student
from distill.targets import POLICIES, TrainingSet
from distill.targets.making import make_policy
from distill.training import loop
from distill.training.batches import plan_epoch
from distill.training.pictures import StudentPictures
from distill.training.run_data import make_run_data
from distill.training.run_directory import read_cost, read_metrics
from distill.training.settings import CE_VIEWS, LOSSES
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, TrainingError
from embedstore.summaries import summarize
from embedstore.vectors import unit_length
from embedstore.views import WHOLE, Recipe

Weights = dict[str, Tensor]


def weights(path: Path) -> Weights:
    return load_file(path / "student.safetensors")


def same(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def projection_of(path: Path) -> Weights:
    """Return the weights of the learned map, from the checkpoint."""
    loss = torch.load(path / "checkpoint.pt", weights_only=True)["loss"]
    return {name.removeprefix("projection."): tensor for name, tensor in loss.items()}


def weights_of(store: EmbeddingStore, path: Path, **changes: Any) -> Weights:
    """Train and return the student's weights."""
    return weights(distill.train(store, path, quick(**changes)).path)


# Learning


@pytest.mark.parametrize(
    ("policy", "ce_views"), [*((policy, "all") for policy in POLICIES), ("none", "whole"), ("own", "whole")]
)
def test_an_easy_task_is_learned(policy: str, ce_views: str, store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(**toy_parts.policy(policy), ce_views=ce_views, epochs=5))
    assert run.report.auroc is not None
    assert run.report.auroc > 0.9
    assert run.report.policy == policy
    assert run.report.counts == {"val": 20, "test": 20, "aside": 3}
    assert [one.mode for one in run.report.aside] == ["rims"]
    assert sorted(one.mode for one in run.report.by_mode) == ["spot", "stripe"]


@pytest.mark.parametrize("policy", ["class-mean", "own"])
def test_alignment_falls(policy: str, store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy=policy, epochs=4, weight=3))
    alignment = [figures["alignment"] for figures in read_metrics(run.path)]
    assert alignment[-1] < 0.8 * alignment[0]


def test_own_teaches_where_the_teacher_would_place_a_picture_that_was_never_trained_on(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy="own", epochs=16, weight=5))
    data = make_run_data(store, quick())
    defects = np.array([at for at in data.sides["test"] if data.samples[at].label == "defect"])
    pictures = StudentPictures(store, 32)
    pixels = pictures.cut(defects, [WHOLE] * len(defects))
    pictures.close()
    student, projection = make_student("small", 2, 32, 0), make_projection(SmallTrunk.features, store.dim, 0)
    student.load_state_dict(weights(run.path))
    projection.load_state_dict(projection_of(run.path))
    with torch.inference_mode():
        placed = projection(student.eval()(pixels)[0]).numpy()
    targets = store.read(defects) - TrainingSet.from_source(store, data.sides["train"]).centre
    alike = unit_length(placed) @ unit_length(targets).T
    own, others = np.diag(alike), alike[~np.eye(len(alike), dtype=bool)]
    assert own.mean() > 0.2
    assert own.mean() > others.mean() + 0.04  # though all are defects


def test_kept_pictures_train_the_same_student_as_files(store: EmbeddingStore, tmp_path: Path) -> None:
    from_files = weights_of(store, tmp_path / "files", policy="own")
    copied = shutil.copytree(store.path, tmp_path / "kept.store")
    manifest, side = store.path.with_name("parts.csv"), store.recipe.student_side
    report = embedstore.build(copied, store.image_root, manifest=manifest, keep_images=side)
    assert (report.kept, report.embedded) == (len(store), 0)
    with embedstore.open(copied) as kept:
        run = distill.train(kept, tmp_path / "kept", quick(policy="own"), images=tmp_path / "no")
    assert same(weights(run.path), from_files)


# The same start, the same pictures


def test_every_policy_starts_from_the_same_weights_and_sees_the_same_pictures(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    # By steps that no weight has room for, all stay what they were, and the running statistics tell what pictures went through.
    for ce_views in CE_VIEWS:
        found = {
            policy: weights_of(
                store,
                tmp_path / f"{policy} {ce_views}",
                **toy_parts.policy(policy),
                ce_views=ce_views,
                learning_rate=1e-50,
                epochs=1,
            )
            for policy in (POLICIES if ce_views == "all" else ("none", "class-mean", "own"))
        }
        for after in found.values():
            assert same(after, found["none"])
        fresh = make_student("small", 2, 32, 0)
        for name, parameter in fresh.named_parameters():
            assert torch.equal(found["none"][name], parameter)
        assert not torch.equal(found["none"]["trunk.layers.0.1.running_mean"], torch.zeros(32))


def test_own_without_weight_is_plain_training(store: EmbeddingStore, tmp_path: Path) -> None:
    plain = weights_of(store, tmp_path / "none", policy="none")
    assert same(weights_of(store, tmp_path / "weightless", policy="own", weight=0), plain)
    assert not same(weights_of(store, tmp_path / "own", policy="own", weight=1), plain)


def test_a_policy_with_targets_learns_a_projection(store: EmbeddingStore, tmp_path: Path) -> None:
    found = {}
    for policy in ("none", "class-mean", "own", "mixture"):
        run = distill.train(store, tmp_path / policy, quick(**toy_parts.policy(policy), epochs=1))
        found[policy] = projection_of(run.path)
    fresh = make_projection(SmallTrunk.features, store.dim, 0).weight
    assert torch.equal(found.pop("none")["weight"], fresh)  # not even by weight decay
    for projection in found.values():
        assert projection["weight"].shape == fresh.shape
        assert not torch.allclose(projection["weight"], fresh, atol=1e-4)


# The figures of a step


@pytest.mark.parametrize("ce_views", CE_VIEWS)
@pytest.mark.parametrize("policy", ["class-mean", "own"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_losses_of_the_first_step_are_those_worked_out_by_hand(
    loss: str, policy: str, ce_views: str, store: EmbeddingStore, tmp_path: Path
) -> None:
    exact = {"precision": "float32", "seed": 3, "temperature": 0.2}
    settings = quick(policy=policy, loss=loss, ce_views=ce_views, epochs=1, batch=100, **exact)
    run = distill.train(store, tmp_path / "run", settings)
    (found,) = read_metrics(run.path)

    training = TrainingSet.from_source(store, make_run_data(store, settings).sides["train"])
    (batch,) = plan_epoch(training.ids, 2, store.recipe, ce_views=ce_views, size=100, seed=3, epoch=0)
    pictures = StudentPictures(store, 32)
    pixels = pictures.cut(training.positions[batch.samples], batch.cuts)
    pictures.close()
    student = make_student("small", 2, 32, seed=3)
    with torch.no_grad():
        features, logits = student(pixels)
        projected = make_projection(SmallTrunk.features, store.dim, seed=3)(features)
    labels = torch.tensor([{"defect": 0, "good": 1, None: -1}[training.labels[at]] for at in batch.samples])

    for_labels = torch.from_numpy(batch.labelled) & (labels >= 0)
    expected = nn.functional.cross_entropy(logits[for_labels], labels[for_labels])
    assert found["cross_entropy"] == pytest.approx(expected.item(), rel=1e-4)

    aligned = torch.from_numpy(batch.aligned)
    if policy == "class-mean":
        summary = summarize(store, "class-mean", positions=training.positions)
        aligned = aligned & (labels >= 0)
        prototypes = summary.vectors - summary.centre
        prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
        chosen = labels[aligned]
        targets = BatchTargets(torch.from_numpy(prototypes)[chosen], chosen, torch.from_numpy(prototypes), chosen)
    else:
        samples, views = batch.samples[batch.aligned], batch.views[batch.aligned]
        own = np.stack([store.vectors([training.ids[s]], view=int(v))[0] for s, v in zip(samples, views, strict=True)])
        own -= training.centre
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        targets = BatchTargets(torch.from_numpy(own), labels[aligned])
        assert -1 in labels[aligned]  # pictures without a label take part in the alignment
    expected = make_loss(loss, 0.2)(projected[aligned], targets)
    assert found["alignment"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_learning_rate_rises_over_the_first_epoch_and_falls_along_a_cosine(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *arguments: Any) -> Any:
        assert len({group["lr"] for group in self.param_groups}) == 1
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    distill.train(store, tmp_path / "run", quick(policy="own", epochs=5, learning_rate=0.01))  # four steps an epoch
    rise = [0.05, 0.25, 0.5, 0.75]
    fall = [(1 + math.cos(math.pi * at / 16)) / 2 for at in range(16)]
    assert rates == pytest.approx([0.01 * factor for factor in rise + fall])


# Determinism, and what a run must not depend on


def test_how_a_store_was_filled_decides_nothing(store: EmbeddingStore, tmp_path: Path) -> None:
    rows = toy_parts.everything()
    later = toy_parts.make_store(tmp_path, rows[len(rows) // 2 :])  # a cluster's nodes, too, finish in any order
    toy_parts.write_pictures(tmp_path / "images", rows)
    manifest = toy_parts.write_manifest(tmp_path / "parts.csv", rows)
    embedstore.build(later, tmp_path / "images", manifest=manifest)
    with embedstore.open(later) as filled:
        assert filled.ids != store.ids
        assert sorted(filled.ids) == sorted(store.ids)
        one, other = (
            weights_of(each, tmp_path / name, policy="own") for name, each in (("one", filled), ("other", store))
        )
    assert same(one, other)


def test_a_run_depends_on_its_settings_alone(store: EmbeddingStore, store_path: Path, tmp_path: Path) -> None:
    first = distill.train(store, tmp_path / "first", quick(policy="own"))
    torch.manual_seed(99)
    again = distill.train(store_path, tmp_path / "again", quick(policy="own"))
    assert same(weights(first.path), weights(again.path))
    assert again.report == first.report
    assert (again.path / "scores.csv").read_bytes() == (first.path / "scores.csv").read_bytes()
    assert (again.path / "report.json").read_bytes() == (first.path / "report.json").read_bytes()


@pytest.fixture(scope="module")
def usual(store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return weights_of(store, tmp_path_factory.mktemp("usual") / "run", policy="own", loss="contrastive", epochs=1)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"policy": "class-mean"},
        toy_parts.policy("mixture"),
        {"policy": "retrieved"},
        {"views": 1},
        {"folds": 5, "fold": 1},
        {"loss": "mse"},
        {"weight": 2},
        {"temperature": 0.5},
        {"size": 40},
        {"epochs": 2},
        {"ce_views": "whole"},
        {"batch": 8},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
    ],
    ids=str,
)
def test_each_setting_makes_another_run(
    change: dict[str, Any], store: EmbeddingStore, usual: Weights, tmp_path: Path
) -> None:
    before: dict[str, Any] = {"policy": "own", "loss": "contrastive", "epochs": 1}
    assert not same(weights_of(store, tmp_path / "run", **before | change), usual)


@pytest.fixture(scope="module")
def other_held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training pictures, but outliers held out."""
    rows = [row if row.split == "train" else replace(row, kind="rims") for row in toy_parts.everything()]
    return toy_parts.make_store(tmp_path_factory.mktemp("other-held-out"), rows)


@pytest.mark.parametrize("policy", ["none", "class-mean", "rare-samples", "mixture"])  # all targets: test_policies.py
def test_held_out_pictures_leave_no_trace_in_the_weights(
    policy: str, store: EmbeddingStore, other_held_out: Path, tmp_path: Path
) -> None:
    settings = quick(**toy_parts.policy(policy), epochs=1)
    run = distill.train(store, tmp_path / "run", settings)
    other = distill.train(other_held_out, tmp_path / "other", settings)
    assert same(weights(run.path), weights(other.path))
    assert run.report != other.report


def test_a_summary_of_the_training_side_gives_the_run_that_fits_its_own(tmp_path: Path) -> None:
    with embedstore.open(toy_parts.make_store(tmp_path, toy_parts.everything())) as store:
        store.summarize("class-mean", name="monday", split="train")
        own = distill.train(store, tmp_path / "own", quick(policy="class-mean"))
        given = distill.train(
            store, tmp_path / "given", quick(policy="class-mean", options={"class-mean": {"summary": "monday"}})
        )
        assert same(weights(given.path), weights(own.path))
        assert given.report == own.report
        store.summarize("class-mean", name="few", split="train", per_class=2)
        few = distill.train(
            store, tmp_path / "few", quick(policy="class-mean", options={"class-mean": {"summary": "few"}})
        )
        assert not same(weights(few.path), weights(own.path))


# Other tasks


def test_several_labels_without_a_good_one(tmp_path: Path) -> None:
    rows = [replace(row, label=row.kind, mode="") for row in toy_parts.parts(40, 20, 20)]
    store_path = toy_parts.make_store(tmp_path, rows)
    run = distill.train(store_path, tmp_path / "run", quick(policy="class-mean", good=None, epochs=6, batch=8))
    report = run.report
    assert report.classes == ["good", "spot", "stripe"]
    assert [(one.label, one.pictures) for one in report.by_class] == [("good", 8), ("spot", 4), ("stripe", 4)]
    assert report.accuracy > 0.7
    assert report.good is report.auroc is report.threshold is report.recall is None
    assert [figures["val_accuracy"] for figures in read_metrics(run.path)][-1] > 0.7
    assert json.loads((run.path / "report.json").read_text("utf-8")) == report.to_dict()


def test_a_store_without_a_split_gets_one_for_the_run(tmp_path: Path) -> None:
    store_path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 10, split=False))
    run = distill.train(store_path, tmp_path / "run", quick(seed=2))
    assert len(run.remarks) == 2  # the other: so few good pictures allow no threshold at the overkill wanted
    assert run.remarks[0].startswith("The store has no written split, so this run made one by group with seed 2 (")
    assert json.loads((run.path / "run.json").read_text("utf-8"))["remarks"] == run.remarks
    with embedstore.open(store_path) as store:
        assert store.counts("split") == {None: 40}


def test_a_store_of_plain_pictures_only_will_do(tmp_path: Path) -> None:
    store_path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 10), views=0)
    run = distill.train(store_path, tmp_path / "run", quick(policy="own", epochs=4, weight=3))
    assert all(math.isfinite(value) for figures in read_metrics(run.path) for value in figures.values())


def test_three_training_pictures_in_batches_of_two_will_do(tmp_path: Path) -> None:
    rows = [
        Part(f"{side}{n}.png", label, "", "", side, "good" if label == "good" else "spot")
        for side, labels in (("train", ("good", "good", "defect")), ("val", ("good",)), ("test", ("good", "defect")))
        for n, label in enumerate(labels)
    ]
    store_path = toy_parts.make_store(tmp_path, rows)
    for ce_views in CE_VIEWS:
        run = distill.train(store_path, tmp_path / ce_views, quick(policy="own", batch=2, ce_views=ce_views, size=16))
        assert run.report.counts == {"val": 1, "test": 2, "aside": 0}
        text = (run.path / "report.json").read_text("utf-8")
        assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) == run.report.to_dict()


def test_a_timm_student(store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy="own", student="mobilenetv3_small_050", epochs=1))
    assert run.path.joinpath("student.safetensors").stat().st_size > 2_000_000
    with pytest.raises(SettingsError, match="'nonet' is unknown"):
        distill.train(store, tmp_path / "unknown", quick(student="nonet"))
    assert not (tmp_path / "unknown").exists()


def test_answers_are_averaged_over_flips_only_where_the_recipe_has_them(tmp_path: Path) -> None:
    rows = toy_parts.parts(20, 10, 10)
    for number, (flips, turns) in enumerate(((False, True), (True, True), (True, False))):
        store_path = toy_parts.make_store(tmp_path / f"{number}", rows, recipe=Recipe(flips=flips, turns=turns))
        run = distill.train(store_path, tmp_path / f"{number}" / "run", quick(epochs=1))
        student = make_student("small", 2, 32, 0).eval()
        student.load_state_dict(weights(run.path))
        with embedstore.open(store_path) as store:
            test = np.flatnonzero(store.where({"split": "test"}))
            pictures = StudentPictures(store, 32)
            pixels = pictures.cut(test, [WHOLE] * len(test))
            pictures.close()
        lines = (run.path / "scores.csv").read_text("utf-8").splitlines()
        said = np.array([[float(x) for x in line.split(",")[-2:]] for line in lines if ",test," in line])
        ways: list[tuple[int, ...]] = [()]
        if flips:  # upside down only where quarter turns were seen too
            ways += [(2,), (3,), (2, 3)] if turns else [(3,)]
        with torch.inference_mode():
            expected = np.mean([student(pixels.flip(way))[1].softmax(dim=1).numpy() for way in ways], axis=0)
        np.testing.assert_allclose(said, expected, atol=1e-5)


def test_pictures_may_have_moved(store_path: Path, tmp_path: Path) -> None:
    rows = toy_parts.everything()
    here = toy_parts.make_store(tmp_path, rows)
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(TrainingError, match="is not there; tell where the pictures are now: --images DIR"):
        distill.train(here, tmp_path / "run", quick())
    assert not (tmp_path / "run").exists()
    moved = distill.train(here, tmp_path / "run", quick(epochs=1), images=tmp_path / "moved")
    before = distill.train(store_path, tmp_path / "before", quick(epochs=1))
    assert same(weights(moved.path), weights(before.path))


# What it writes and says


def test_a_run_writes_down_what_it_did(store: EmbeddingStore, tmp_path: Path) -> None:
    told: list[tuple[int, int, dict[str, float]]] = []
    settings = quick(policy="own", epochs=3)
    run = distill.train(store, tmp_path / "run", settings, progress=lambda *figures: told.append(figures))
    names = ["run.json", "task.toml", "split.csv", "metrics.csv", "curves.html", "checkpoint.pt", "best.safetensors"]
    after = ["student.safetensors", "projection.safetensors", "cost.json", "scores.csv", "report.json"]
    assert {file.name for file in run.path.iterdir()} - {"run.lock"} == {*names, *after}
    described = json.loads((run.path / "run.json").read_text("utf-8"))
    assert distill.Settings(**described["settings"]) == settings
    assert described["store"] == {
        "path": str(store.path.resolve()),
        "version": store.version,
        "fingerprint": store.fingerprint,
        "views": 2,
        "contents": contents_of(store),
    }
    assert (described["teacher"], described["classes"]) == ("pixels", ["defect", "good"])
    assert described["summaries"] == []

    metrics = read_metrics(run.path)
    assert [figures["epoch"] for figures in metrics] == [1, 2, 3]
    assert [(done, total) for done, total, _ in told] == [(1, 3), (2, 3), (3, 3)]
    for (_, _, figures), line in zip(told, metrics, strict=True):
        assert {"epoch": line["epoch"], **figures} == pytest.approx(line, abs=1e-6)

    held = (run.path / "scores.csv").read_text("utf-8").splitlines()
    assert held[0] == "id,split,label,mode,group,p(defect),p(good)"
    assert len(held) == 1 + 20 + 20 + 3  # the two test pictures without a label are not scored
    for line in held[1:]:
        assert sum(float(cell) for cell in line.split(",")[-2:]) == pytest.approx(1)
    assert json.loads((run.path / "report.json").read_text("utf-8")) == run.report.to_dict()


def test_a_run_writes_down_the_summaries_of_its_targets(store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(**toy_parts.policy("mixture"), epochs=1, seed=4))
    data = make_run_data(store, quick())
    expected = []
    for strategy in ("class-mean", "rare-samples"):  # `own` and `none` take none
        made = summarize(store, strategy, positions=data.sides["train"], seed=4)
        how = {"name": strategy, "strategy": strategy, "parameters": made.parameters, "seed": 4}
        expected.append({**how, "store_version": store.version, "checksum": f"{zlib.crc32(made.to_bytes()):08x}"})
    assert json.loads((run.path / "run.json").read_text("utf-8"))["summaries"] == expected


def test_what_making_the_targets_took_is_told_apart_from_training(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(1)
        return make_policy(*arguments, **options)

    monkeypatch.setattr(loop, "make_policy", slow)
    run = distill.train(store, tmp_path / "run", quick(policy="class-mean"))
    cost = read_cost(run.path)
    assert cost["seconds"] == pytest.approx(sum(figures["seconds"] for figures in read_metrics(run.path)), abs=1e-5)
    assert 1 <= cost["seconds_targets"] < 3


def test_a_picture_that_changed_stops_the_run_in_one_sentence(tmp_path: Path) -> None:
    store_path = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 10))
    toy_parts.draw("rims", 7).save(tmp_path / "images" / "spot001.png")
    with pytest.raises(TrainingError, match=r"'spot001.png' is another than the one that was embedded"):
        distill.train(store_path, tmp_path / "run", quick())


def test_a_run_that_diverges_says_so_and_gives_no_student(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="its training diverged"):
        distill.train(store, tmp_path / "run", quick(policy="own", loss="mse", weight=1e6, learning_rate=1e6, epochs=4))
    assert not {"student.safetensors", "report.json"} & {file.name for file in (tmp_path / "run").iterdir()}
