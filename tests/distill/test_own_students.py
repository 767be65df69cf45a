"""The user's own module as a student: trained, saved, and imported only where a person asks for it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_parts import quick

import distill
from distill.students import make_student
from distill.training.task_file import read_task
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError

OWN = """
import torch
from torch import nn


def trunk():
    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten())


def maps():
    return nn.Conv2d(3, 8, 5)


def nothing():
    return 7


def broken():
    raise RuntimeError("no such layer")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = self.first

    def forward(self, pixels):
        return self.again(self.first(pixels)).amax((2, 3))


class Lost(nn.Module):
    def forward(self, pixels):
        return pixels.no_such_thing


def lost():
    return Lost()


def tied():
    return Tied()
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "modules"
    folder.mkdir()
    name = f"own_students_{abs(hash(tmp_path)) % 10**9}"
    (folder / f"{name}.py").write_text(OWN, "utf-8")
    (folder / f"{name}_wrong.py").write_text("def trunk(:", "utf-8")
    monkeypatch.syspath_prepend(folder)
    return name


def test_the_users_own_module_is_trained_and_evaluated_again_only_if_trusted(
    own_module: str, store: EmbeddingStore, tmp_path: Path
) -> None:
    student = f"{own_module}:trunk"
    run = distill.train(store, tmp_path / "run", quick(policy="own", student=student, epochs=6))
    assert run.report.auroc is not None
    assert run.report.auroc > 0.8
    assert load_file(run.path / "student.safetensors")["head.weight"].shape == (2, 32)
    before = (run.path / "report.json").read_bytes()
    with pytest.raises(SettingsError, match=rf"which would be imported and run; .* --student {student}"):
        distill.evaluate(run.path)
    with pytest.raises(SettingsError, match=r"is '.*:trunk', not '.*:maps'; leave --student out"):
        distill.evaluate(run.path, student=f"{own_module}:maps")
    task = run.path / "task.toml"
    with pytest.raises(SettingsError, match=rf"has the student '{student}', which would be imported and run"):
        read_task(task)
    assert read_task(task, changes={"student": student}).student == student
    distill.evaluate(run.path, student=student)
    assert (run.path / "report.json").read_bytes() == before


def test_a_module_with_one_weight_under_two_names_is_saved(
    own_module: str, store: EmbeddingStore, tmp_path: Path
) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy="own", student=f"{own_module}:tied", ema=0.9))
    found = load_file(run.path / "student.safetensors")
    assert torch.equal(found["trunk.first.weight"], found["trunk.again.weight"])


def test_its_weights_are_drawn_by_the_runs_seed(own_module: str) -> None:
    first, again, other = (make_student(f"{own_module}:trunk", 2, 32, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(first["trunk.0.weight"], again["trunk.0.weight"])
    assert not torch.equal(first["trunk.0.weight"], other["trunk.0.weight"])


@pytest.mark.parametrize(
    ("student", "told"),
    [
        (
            "no_such_module:trunk",
            r"can't be imported \(No module named 'no_such_module'\); name a function as MODULE:FUNC",
        ),
        ("OWN:no_such", r"can't be imported .*no_such"),
        (":", r"can't be imported"),
        ("OWN:nothing", r"gave a int; expected a torch.nn.Module"),
        ("OWN:broken", r"failed when it was made \(RuntimeError: no such layer\)"),
        ("OWN:lost", r"failed on a picture of 32 x 32 pixels \(AttributeError: .*no_such_thing"),
        ("OWN_wrong:trunk", r"can't be imported \(SyntaxError: .*\)"),
        ("OWN:maps", r"gave \(1, 8, 28, 28\) for one picture; expected features of shape \(1, f\)"),
    ],
)
def test_an_own_module_that_does_not_fit_is_refused(student: str, told: str, own_module: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_student(student.replace("OWN", own_module), 2, 32, 0)
