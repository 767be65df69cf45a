"""Without PyTorch: targets and figures work, and training says what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest
import toy_parts

NO_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "open_clip"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(code: str, *arguments: str) -> str:
    """Run code in a Python that has no PyTorch; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_TORCH + code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_packages_import_without_pytorch() -> None:
    code = """
import distill, distill.targets, distill.evaluation.metrics, distill.evaluation.report, distill.reports.terminal
import distill.training.batches, distill.training.task, distill.training.pictures
print(distill.Settings(policy="own").policy, sorted(distill.__all__), "torch" in sys.modules)
"""
    assert run(code) == "own ['Settings', 'evaluate', 'train'] False"


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_training_says_what_is_missing(name: str) -> None:
    code = f"""
import distill
from embedstore.errors import MissingPackageError
try:
    distill.{name}
except MissingPackageError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    assert run(code).startswith(f"distill.{name} needs PyTorch, which is not installed here: pip install torch")


def test_targets_and_figures_are_had_without_pytorch(tmp_path: Path) -> None:
    store = toy_parts.make_store(tmp_path, toy_parts.parts(20, 10, 10))
    code = """
import numpy as np
import distill, embedstore
from distill.evaluation.report import Held, make_report
from distill.targets import POLICIES, TrainingSet
from distill.training.task import make_task
with embedstore.open(sys.argv[1]) as store:
    task = make_task(store, distill.Settings(good="good"))
    training = TrainingSet.from_store(store, task.sides["train"])
    summary = store.summarize("class-mean", split="train")
    for name in POLICIES:
        policy = POLICIES[name].fit(training, summary if POLICIES[name].strategy else None, 0)
        if policy is not None:
            print(name, policy.targets(np.arange(3), np.ones(3, np.int64)).vectors.shape)
    held = [
        Held(s.id, s.split, s.label, s.mode, s.group, (0.9, 0.1) if s.label == "defect" else (0.1, 0.9))
        for s in store.samples if s.split != "train"
    ]
    print(make_report(held, task.classes, "own", "good", 0.05).auroc, "torch" in sys.modules)
"""
    assert run(code, str(store)).splitlines() == [
        "class-mean (3, 192)", "own (3, 192)", "random-vectors (3, 192)", "1.0 False"
    ]  # fmt: skip


def test_the_package_has_no_other_names() -> None:
    code = """
import distill
try:
    distill.trian
except AttributeError as error:
    print(error)
"""
    assert run(code) == "module 'distill' has no attribute 'trian'"
