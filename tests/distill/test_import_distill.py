"""Without PyTorch: targets and figures work, and training says what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest
import toy_parts

from distill.targets import POLICIES

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
import distill, distill.targets, distill.evaluation.metrics, distill.evaluation.report, distill.reports.console
import distill.training.batches, distill.training.run_data, distill.training.pictures
print(distill.Settings(policy="own").policy, sorted(distill.__all__), "torch" in sys.modules)
"""
    assert run(code) == (
        "own ['Comparing', 'DistillationDataset', 'DistillationLoss', 'Settings', 'advise', 'compare', 'evaluate', 'export', "
        "'gate', 'predict', 'train'] False"
    )


@pytest.mark.parametrize(
    "name", ["DistillationDataset", "DistillationLoss", "advise", "compare", "evaluate", "export", "gate", "train"]
)
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
from distill.source import opened_source
from distill.targets import POLICIES, TrainingSet
from distill.targets.making import make_policy
from distill.training.run_data import make_run_data
from embedstore.exports import export
from embedstore.summaries import summarize

def said(name, source):
    data = make_run_data(source, distill.Settings(good="good"))
    training = TrainingSet.from_source(source, data.sides["train"])
    policy = make_policy(
        name, training, seed=0, options={},
        weights={label: {"own": 1, "class-mean": 1} for label in data.classes} if name == "mixture" else {},
        summary_of=lambda strategy, options: source.summary("few") if not isinstance(source, embedstore.EmbeddingStore)
        else summarize(source, strategy, positions=training.positions),
    )
    return policy and policy.targets(np.arange(3), np.ones(3, np.int64)).vectors.shape

with embedstore.open(sys.argv[1]) as store:
    for name in POLICIES:
        print(name, said(name, store))
    store.summarize("rare-samples", name="few", split="train")
    export(store, sys.argv[2], summary="few")
    data = make_run_data(store, distill.Settings(good="good"))
    held = [
        Held(s.id, s.split, s.label, s.mode, s.group, (0.9, 0.1) if s.label == "defect" else (0.1, 0.9))
        for s in store.samples if s.split != "train"
    ]
    print(make_report(held, data.classes, "own", "good", 0.05).auroc)
with opened_source(sys.argv[2]) as file:
    print("file", said("rare-samples", file))
print("torch" in sys.modules)
"""
    assert run(code, str(store), str(tmp_path / "few.safetensors")).splitlines() == [
        *(f"{name} {None if name == 'none' else (3, 64 if name == 'compressed-own' else 192)}" for name in POLICIES),
        "1.0",
        "file (3, 192)",
        "False",
    ]


def test_the_package_has_no_other_names() -> None:
    code = """
import distill
try:
    distill.trian
except AttributeError as error:
    print(error)
"""
    assert run(code) == "module 'distill' has no attribute 'trian'"
