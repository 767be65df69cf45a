"""`distill train`: with a task file, with options that rule over it, with a saved summary, and with no store at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_commands import call, refused, save

import embedstore
from distill import Settings
from distill.training.task_file import read_task, write_task
from embedstore.exports import export

QUICK = "size = 32\nepochs = 1\n"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a store of them with a split and a saved summary, and that summary as a file."""
    place = tmp_path_factory.mktemp("line")
    for number in range(40):
        bright = number % 2 == 1
        save(place / "photos" / ("傷" if bright else "良品") / f"{number:02}.png", number, bright=bright)
    embedstore.build(place / "s", place / "photos", teacher="pixels", views=1)
    with embedstore.open(place / "s") as store:
        store.split()
        store.summarize("medoids", name="three", split="train", k=3)
        export(store, place / "three.safetensors", summary="three")
    return place


def settings_of(run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((run / "run.json").read_text("utf-8"))["settings"]
    return settings


def test_a_task_file_decides(line: Path) -> None:
    text = f'good = "良品"\n{QUICK}[loss]\nlambda = 2.5\n[policy]\n"良品" = "class-mean"\n"傷" = {{ own = 0.5, none = 0.5 }}\n'
    write_task(line / "both.toml", text)
    shown = call("distill", "train", "s", "--task", "both.toml", "--out", "both", cwd=line).stdout
    assert "Task file 'both.toml'.\n" in shown
    assert settings_of(line / "both") == read_task(line / "both.toml").to_dict()
    assert read_task(line / "both" / "task.toml") == read_task(line / "both.toml")


def test_a_run_goes_on_by_its_own_task_file(line: Path) -> None:
    given = ("--good", "良品", "--policy", "none", "--size", "32", "--epochs", "1", "--views", "0")
    call("distill", "train", "s", *given, "--out", "half", cwd=line)
    begun = settings_of(line / "half")
    (line / "half" / "student.safetensors").unlink()
    sentence = refused("distill", "train", "s", "--epochs", "2", "--out", "half", "--resume", cwd=line)
    told = "was begun with epochs = 1, not 2; resume it with what it was begun with, which `distill train --resume` takes from "
    assert told + "'half/task.toml' where no setting is given, or" in sentence.replace("\\", "/")
    shown = call("distill", "train", "s", "--out", "half", "--resume", cwd=line).stdout.replace("\\", "/")
    assert "Task file 'half/task.toml'.\n" in shown
    assert settings_of(line / "half") == begun
    assert (line / "half" / "student.safetensors").is_file()
    call("distill", "train", "s", *given, "--out", "half", "--resume", cwd=line)
    shown = call("distill", "train", "s", "--student", "small", "--out", "half", "--resume", cwd=line).stdout
    assert ", but for --student of the command line." in shown


def test_a_run_with_a_saved_summary_goes_on_where_that_is_named_again(line: Path) -> None:
    given = ("--good", "良品", "--size", "32", "--epochs", "1", "--summary", "three")
    call("distill", "train", "s", *given, "--out", "from-three", cwd=line)
    begun = settings_of(line / "from-three")
    (line / "from-three" / "student.safetensors").unlink()
    call("distill", "train", "s", "--summary", "three", "--out", "from-three", "--resume", cwd=line)
    assert settings_of(line / "from-three") == begun
    assert (line / "from-three" / "student.safetensors").is_file()


def test_options_and_a_saved_summary_rule_over_the_task_file(line: Path) -> None:
    write_task(line / "sub.toml", f'{QUICK}seed = 3\npolicy = "sub-prototypes"\n[policies.sub-prototypes]\nk = 2\n')
    ruling = ("--good", "良品", "--lambda", "2", "--ce-views", "whole", "--summary", "three")
    shown = call("distill", "train", "s", "--task", "sub.toml", *ruling, "--out", "sub", cwd=line).stdout
    assert "Task file 'sub.toml', but for --good, --lambda, --ce-views, --summary of the command line." in shown
    expected = Settings("sub-prototypes", good="良品", weight=2, size=32, epochs=1, seed=3, ce_views="whole")
    assert settings_of(line / "sub") == expected.to_dict() | {"options": {"sub-prototypes": {"summary": "three"}}}


def test_recipes_are_options_too(line: Path) -> None:
    given = {
        "pretrain_epochs": 1, "balance": 0.5, "logit_adjustment": 1.0, "ema": 0.9, "keep": "best", "schedule": "constant",
        "projection": "teacher", "loss": "contrastive-all", "learning_rate": 0.001, "answer": "both",
    }  # fmt: skip
    said = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    quick = ("--good", "良品", "--size", "32", "--epochs", "2")
    shown = call("distill", "train", "s", *quick, *said, "--out", "recipes", cwd=line).stdout
    assert "The student is that of epoch " in shown
    assert " of 3.\n" in shown
    assert settings_of(line / "recipes").items() >= given.items()
    call(
        "distill",
        "train",
        "s",
        *quick,
        "--policy",
        "class-distribution",
        "--crops",
        "fresh",
        "--out",
        "fresh",
        cwd=line,
    )
    assert settings_of(line / "fresh")["crops"] == "fresh"


def test_a_saved_summary_brings_its_policy_too(line: Path) -> None:
    write_task(line / "short.toml", QUICK)
    shown = call("distill", "train", "s", "--summary", "three", "--task", "short.toml", "--out", "fit", cwd=line).stdout
    assert "Policy 'sub-prototypes'" in shown
    assert settings_of(line / "fit")["options"] == {"sub-prototypes": {"summary": "three"}}


def test_an_exported_summary_needs_no_store_and_brings_its_policy(line: Path, tmp_path: Path) -> None:
    for name in ("three.safetensors", "photos"):
        (shutil.copytree if name == "photos" else shutil.copy)(line / name, tmp_path / name)
    source = ("--summary", "three.safetensors", "--good", "良品")
    sentence = refused("distill", "train", *source, "--out", "run", cwd=tmp_path)
    assert "does not hold the pictures; tell where they are: --images DIR" in sentence
    assert not (tmp_path / "run").exists()
    short = ("--images", "photos", "--size", "32", "--epochs", "1")
    shown = call("distill", "train", *source, *short, "--out", "run", cwd=tmp_path).stdout
    assert "Policy 'sub-prototypes'" in shown
    assert settings_of(tmp_path / "run")["options"] == {}
    assert "from the store" in refused(
        "distill", "train", *source, *short, "--policy", "own", "--out", "x", cwd=tmp_path
    )


@pytest.mark.parametrize(
    ("task", "arguments", "words"),
    [
        (None, (), "There is nothing to train from; name a store, or --summary FILE.safetensors and --images DIR."),
        (
            None,
            ("--summary", "three"),
            "Without a store, --summary takes a file that ends in .safetensors, and 'three'",
        ),
        (None, ("s", "--summary", "three.safetensors"), "Both the store 's' and the summary file 'three.safetensors'"),
        (None, ("--summary", "gone.safetensors"), "There is no file 'gone.safetensors'"),
        (None, ("s", "--task", "gone.toml"), "'gone.toml' does not exist; write a task file with: distill init STORE"),
        (None, ("s", "--policy", "mixture"), "The policy 'mixture' needs weights"),
        ("epoch = 3", ("s",), 'In \'bad.toml\', the key "epoch" is unknown; did you mean "epochs"?'),
        ("epochs = 3\nsize", ("s",), "'bad.toml' is no valid TOML: Expected '=' after a key"),
        ('good = "良"', ("s",), '\'bad.toml\' can\'t be used: The store has no label "良"; did you mean "良品"?'),
        (
            '[policy]\n"良品" = "own"',
            ("s",),
            "Error: In 'bad.toml', the table [policy] gives no policy for the label '傷'; add a line for each of the training",
        ),
        (
            '[policy]\n"良品" = "own"\n"傷" = "class-mean"',
            ("s", "--summary", "three"),
            "--summary three was given with a mixture, which has a summary for each of its policies; name them in the task",
        ),
        ('policy = "own"', ("s", "--summary", "three"), "The policy 'own' takes no summary"),
        (None, ("s", "--summary", "four"), "no summary 'four'"),
        (None, ("s", "--patches", "pixels:1"), "but the answer is 'head'; give --answer patches, too."),
        (None, ("s", "--summary", "three", "--policy", "own"), "The policy 'own' takes no summary"),
    ],
)
def test_each_mistake_is_one_sentence_and_leaves_nothing(
    line: Path, task: str | None, arguments: tuple[str, ...], words: str
) -> None:
    given = arguments
    if task is not None:
        (line / "bad.toml").write_text(task, "utf-8")
        given = (*arguments, "--task", "bad.toml")
    assert words in refused("distill", "train", *given, "--out", "left", cwd=line)
    assert not (line / "left").exists()
