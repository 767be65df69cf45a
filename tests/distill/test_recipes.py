"""Recipes: pre-training, balance, logit adjustment, moving averages, schedules, the best epoch."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy_parts import Part, make_store, quick

import distill
from distill.losses import DistillationLoss
from distill.students import make_student
from distill.training import loop, run_directory, scoring
from distill.training.run_directory import kept_epoch, read_metrics
from distill.training.weights import averaged, best_epoch, learning_rate_factor
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError

ALL = {
    "policy": "own",
    "epochs": 3,
    "pretrain_epochs": 2,
    "balance": 1.0,
    "logit_adjustment": 1.0,
    "ema": 0.9,
    "keep": "best",
}


class Stop:
    """A hand on Ctrl-C after an epoch."""

    def __init__(self, after: int):
        self.after = after

    def __call__(self, done: int, total: int, figures: dict[str, float]) -> None:
        if done == self.after:
            raise KeyboardInterrupt


def files(path: Path) -> dict[str, bytes]:
    names = ("student.safetensors", "best.safetensors", "scores.csv", "report.json", "split.csv")
    return {name: (path / name).read_bytes() for name in names}


# All together


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_run_with_all_recipes_that_was_stopped_ends_the_same(
    after: int, store: EmbeddingStore, tmp_path: Path
) -> None:
    settings = quick(**ALL)
    whole = distill.train(store, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", settings, progress=Stop(after))
    distill.train(store, tmp_path / "run", settings, resume=True)
    assert files(tmp_path / "run") == files(whole.path)
    timed = ("seconds", "seconds_steps")
    for name in ("metrics.csv", "pretraining.csv"):
        found, expected = (
            [{key: value for key, value in row.items() if key not in timed} for row in rows(path / name)]
            for path in (tmp_path / "run", whole.path)
        )
        assert found == expected


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Pre-training


def test_pre_training_learns_from_targets_alone_and_of_samples_without_a_label(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[torch.Tensor] = []
    asked: list[tuple[int, int]] = []
    forward = DistillationLoss.forward

    def watched(self: DistillationLoss, *given: Any, **named: Any) -> Any:
        lost = forward(self, *given, **named)
        asked.append((lost.labelled, lost.aligned))
        return lost

    monkeypatch.setattr(DistillationLoss, "forward", watched)
    settings = quick(policy="own", pretrain_epochs=3, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", settings, progress=Stop(3))
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["student"]
    fresh = make_student("small", 2, 32, 0).state_dict()
    heads += [saved["head.weight"], saved["head.bias"]]
    assert torch.equal(heads[0], fresh["head.weight"])  # the labels taught nothing
    assert torch.equal(heads[1], fresh["head.bias"])
    assert not torch.equal(saved["trunk.layers.0.0.weight"], fresh["trunk.layers.0.0.weight"])
    assert {labelled for labelled, _ in asked} == {0}
    assert sum(aligned for _, aligned in asked) == 3 * 64  # 60 labelled training pictures, and 4 without a label

    run = distill.train(store, tmp_path / "run", settings, resume=True)
    assert [float(row["epoch"]) for row in rows(run.path / "pretraining.csv")] == [1, 2, 3]
    alignment = [float(row["alignment"]) for row in rows(run.path / "pretraining.csv")]
    assert alignment[-1] < alignment[0]
    assert [line["epoch"] for line in read_metrics(run.path)] == [4]
    assert sum(labelled for labelled, _ in asked) == 60
    assert run_directory.read_cost(run.path)["seconds"] > sum(line["seconds"] for line in read_metrics(run.path))


def test_targets_without_weight_are_nothing_to_pre_train_on() -> None:
    with pytest.raises(SettingsError, match="a lambda of 0 gives them no weight"):
        quick(policy="own", pretrain_epochs=1, weight=0)


def test_plain_training_has_nothing_to_pre_train_on() -> None:
    for settings in ({"policy": "none"}, {"policy": "mixture", "mixture": {"good": {"none": 1}}}):
        with pytest.raises(SettingsError, match=r"learns from targets alone, and the policy 'none' has no targets"):
            quick(pretrain_epochs=1, **settings)


# Balance, logit adjustment


def test_balance_lets_labels_pass_equally_often(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = DistillationLoss.forward

    def watched(
        self: DistillationLoss, features: Any, logits: Any, labels: torch.Tensor, *given: Any, **named: Any
    ) -> Any:
        seen.extend(labels.tolist())
        return forward(self, features, logits, labels, *given, **named)

    monkeypatch.setattr(DistillationLoss, "forward", watched)
    distill.train(store, tmp_path / "run", quick(policy="own", balance=1, epochs=1))
    assert [seen.count(label) for label in (-1, 0, 1)] == [4, 30, 30]  # 24 defects and 36 good ones train


def test_logit_adjustment_takes_the_shares_that_pass(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[torch.Tensor | None] = []
    build = DistillationLoss.__init__

    def watched(self: DistillationLoss, *given: Any, **named: Any) -> None:
        made.append(named["class_shares"])
        build(self, *given, **named)

    monkeypatch.setattr(DistillationLoss, "__init__", watched)
    distill.train(store, tmp_path / "a", quick(logit_adjustment=1, epochs=1))
    distill.train(store, tmp_path / "b", quick(logit_adjustment=1, balance=1, epochs=1))
    distill.train(store, tmp_path / "c", quick(epochs=1))
    assert made[0] is not None
    assert made[1] is not None
    assert made[0].tolist() == pytest.approx([24 / 60, 36 / 60])
    assert made[1].tolist() == pytest.approx([0.5, 0.5])
    assert made[2] is not None  # and does not count, without adjustment


# Learning rate, moving average


def test_the_schedule_steps_at_each_step_and_is_written_down(store: EmbeddingStore, tmp_path: Path) -> None:
    for schedule in ("cosine", "constant"):
        run = distill.train(store, tmp_path / schedule, quick(epochs=4, schedule=schedule, learning_rate=0.01))
        found = [line["learning_rate"] for line in read_metrics(run.path)]
        last = [3 / 4, 7 / 4, 11 / 4, 15 / 4]  # of four steps an epoch, the last one's place in the run
        assert found == pytest.approx([0.01 * learning_rate_factor(schedule, at / 4, 4) for at in last], abs=1e-6)
        assert (found[-1] < found[1]) == (schedule == "cosine")


def test_the_learning_rate_rises_and_then_does_what_the_schedule_says() -> None:
    assert learning_rate_factor("cosine", 0, 10) == 0.05
    assert learning_rate_factor("cosine", 0.05, 10) == 0.5
    assert learning_rate_factor("cosine", 0.1, 10) == 1
    assert learning_rate_factor("cosine", 0.55, 10) == pytest.approx(0.5)
    assert learning_rate_factor("cosine", 1, 10) == pytest.approx(0)
    assert learning_rate_factor("constant", 0.05, 10) == 0.5
    assert learning_rate_factor("constant", 1, 10) == 1


def test_the_moving_average_against_numpy() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    average = averaged(model, 0.5)
    expected = None
    for step in range(30):
        with torch.no_grad():
            for number, value in enumerate([*model.parameters(), *model.buffers()]):
                value.copy_(torch.full_like(value, 10 * step + number))
        average.update_parameters(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = 10.0 * step if expected is None else decay * expected + (1 - decay) * 10 * step
    for number, value in enumerate([*average.module.parameters(), *average.module.buffers()]):
        if value.is_floating_point():
            np.testing.assert_allclose(value.detach().numpy(), expected + number, rtol=1e-6)
        else:
            assert int(value) == 10 * 29 + number  # batches are counted, not averaged


def test_with_a_moving_average_it_is_the_student(store: EmbeddingStore, tmp_path: Path) -> None:
    runs = {ema: distill.train(store, tmp_path / f"{ema}", quick(policy="own", epochs=2, ema=ema)) for ema in (0, 0.9)}
    checkpoint = torch.load(runs[0.9].path / "checkpoint.pt", weights_only=True)
    student = load_file(runs[0.9].path / "student.safetensors")
    plain = load_file(runs[0].path / "student.safetensors")
    for name, tensor in student.items():
        assert torch.equal(checkpoint["average"][f"module.{name}"], tensor)
        assert torch.equal(checkpoint["student"][name], plain[name])  # it trains the same weights
    assert not torch.equal(student["head.weight"], plain["head.weight"])


# The best epoch


def test_the_best_epoch_is_kept_and_the_last_one_is_the_student_unless_asked(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = iter([0.5, 0.9, 0.9, 0.7] * 2)
    monkeypatch.setattr(scoring, "roc_area", lambda *_: next(reached))
    monkeypatch.setattr(scoring, "average_precision", lambda *_: 0.5)
    last = distill.train(store, tmp_path / "last", quick(epochs=4))
    best = distill.train(store, tmp_path / "best", quick(epochs=4, keep="best"))
    assert (kept_epoch(last.path), kept_epoch(best.path)) == (4, 3)
    kept, student = (load_file(best.path / f"{name}.safetensors") for name in ("best", "student"))
    final = load_file(last.path / "student.safetensors")
    for name, tensor in kept.items():
        assert torch.equal(student[name], tensor)
        assert torch.equal(load_file(last.path / "best.safetensors")[name], tensor)
    assert not torch.equal(final["head.weight"], kept["head.weight"])


def test_the_best_is_told_by_auroc_then_average_precision_then_the_later() -> None:
    def told(*figures: tuple[float, float]) -> int:
        return best_epoch([{"val_auroc": auroc, "val_aupr": aupr} for auroc, aupr in figures])

    assert told((0.5, 0.9), (0.6, 0.1)) == 2
    assert told((0.6, 0.9), (0.6, 0.1)) == 1
    assert told((0.6, 0.1), (0.6, 0.1)) == 2
    assert told((math.nan, 0.1), (0.2, 0.1), (math.nan, math.nan)) == 2
    assert told((math.nan, math.nan)) == told() == 0
    assert best_epoch([{"val_accuracy": 0.5}, {"val_accuracy": 0.4}]) == 1


def test_without_a_defect_on_the_validation_side_the_last_epoch_is_kept(tmp_path: Path) -> None:
    rows = [
        Part(f"{side}{number}.png", label, "", f"{side}{number}", side, "good" if label == "good" else "spot")
        for side, labels in (("train", ("good", "good", "defect")), ("val", ("good",)), ("test", ("good", "defect")))
        for number, label in enumerate(labels)
    ]
    store = make_store(tmp_path, rows)
    run = distill.train(store, tmp_path / "run", quick(epochs=3, keep="best", size=16))
    assert run.epoch == kept_epoch(run.path) == 3
    assert any("no defect to tell from good parts" in remark for remark in run.remarks)
    assert not any("no defect to tell" in one for one in distill.train(store, tmp_path / "b", quick(size=16)).remarks)


# The page of curves


def test_a_run_has_its_curves_as_a_page(store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "<run>", quick(policy="own", pretrain_epochs=1, epochs=2))
    page = (run.path / "curves.html").read_text("utf-8")
    assert "&lt;run&gt;" in page
    assert "<run>" not in page
    for words in ("Pre-training", "事前学習", "AUROC", "Learning rate"):
        assert words in page


def test_no_run_ends_for_a_page_that_is_held_open(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_CURVES_EVERY", -1.0)

    def hold(done: int, total: int, figures: dict[str, float]) -> None:
        if done == 1:
            (tmp_path / "run" / "curves.html").unlink()
            (tmp_path / "run" / "curves.html").mkdir()

    run = distill.train(store, tmp_path / "run", quick(epochs=3), progress=hold)
    assert [line["epoch"] for line in read_metrics(run.path)] == [1, 2, 3]
    assert run.remarks[-1] == (
        f"'{run.path / 'curves.html'}' could not be written (Is a directory), so it lacks the last epochs; 'metrics.csv' "
        "beside it has them all."
    )


# Settings


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("crops", "new", "The kind of crops 'new' is unknown; use one of stored, fresh"),
        ("projection", "both", "The projection 'both' is unknown; use one of student, teacher"),
        ("schedule", "steps", "The schedule 'steps' is unknown; use one of cosine, constant"),
        ("keep", "all", "The epoch to keep 'all' is unknown; use one of last, best"),
        ("balance", 1.5, "The balance is 1.5; expected 0 to 1"),
        ("ema", 1, "The decay of the moving average is 1; expected 0 to 0.999999"),
        ("logit_adjustment", -1, "The logit adjustment is -1"),
        ("pretrain_epochs", -1, "The number of epochs of pre-training is -1"),
    ],
)
def test_a_recipe_out_of_range_is_refused(field: str, value: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        quick(**{field: value})


def test_a_run_of_an_earlier_release_without_the_new_settings_goes_on(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", quick(), progress=Stop(1))
    description = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    for name in ("ema", "keep", "balance"):
        del description["settings"][name]
    (tmp_path / "run" / "run.json").write_text(json.dumps(description), "utf-8")
    run = distill.train(store, tmp_path / "run", quick(), resume=True)
    assert len(read_metrics(run.path)) == 2
    assert all(math.isfinite(value) for line in read_metrics(run.path) for value in line.values())
