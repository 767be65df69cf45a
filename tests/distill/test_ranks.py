"""Two processes that train one student come to what one comes to, whatever the loss."""

from pathlib import Path
from typing import Any

import pytest
import rank_runs
import torch
from safetensors.torch import load_file
from toy_parts import quick

import distill
from distill.students import make_student
from distill.training.ranks import Ranks, refuse_ranks, take_device
from distill.training.run_directory import read_metrics
from embedstore.errors import SettingsError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The directories of the runs by one process and by two."""
    store = rank_runs.store_in(tmp_path_factory.mktemp("half labelled"))
    out = {ranks: tmp_path_factory.mktemp(f"ranks{ranks}") for ranks in (1, 2)}
    rank_runs.train_all(store, out[1])
    rank_runs.start(store, out[2], 2)
    return out


@pytest.mark.parametrize("name", rank_runs.RUNS)
def test_two_processes_come_to_what_one_comes_to(name: str, trained: dict[int, Path]) -> None:
    one, two = (trained[ranks] / name for ranks in (1, 2))
    expected, found = (load_file(run / "student.safetensors") for run in (one, two))
    changes = rank_runs.RUNS[name]
    begun = make_student(changes.get("student", "small"), 2, changes.get("size", 32), 0).requires_grad_(
        requires_grad=False
    )
    assert max(float((expected[key] - value).abs().max()) for key, value in begun.named_parameters()) > 1e-3
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=5e-6, msg=lambda told, key=key: f"{key}: {told}")
    figures = [without_seconds(read_metrics(run)) for run in (one, two)]
    assert figures[1] == [pytest.approx(line, abs=1e-5) for line in figures[0]]
    projections = [run / "projection.safetensors" for run in (one, two)]
    assert projections[0].is_file() == projections[1].is_file()
    if projections[0].is_file():
        kept = load_file(projections[1])
        torch.testing.assert_close(kept, load_file(projections[0]), rtol=1e-5, atol=5e-6)


def without_seconds(lines: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: figure for name, figure in line.items() if "seconds" not in name} for line in lines]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_parts_of_the_ranks_are_all_rows_once_in_order(size: int) -> None:
    for rows in (1, 6, 7, 20):
        parts = [list(range(rows))[Ranks(rank, size).part(rows)] for rank in range(size)]
        assert [row for part in parts for row in part] == list(range(rows))
        assert [len(part) for part in parts] == Ranks(0, size).sizes(rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("ranks", "changes", "told"),
    [
        (2, {"policy": "live-teacher"}, "'live-teacher' asks its teacher in one process; train it without torchrun"),
        (17, {"batch": 16}, r"smallest batch has 16 pictures, which 17 processes can't share.* --nproc-per-node 16$"),
    ],
)
def test_what_several_processes_can_not_train_is_refused(
    ranks: int, changes: dict[str, Any], told: str, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.training.ranks._together", Ranks(0, ranks))
    with pytest.raises(SettingsError, match=told):
        distill.train(store_path, tmp_path / "run", quick(**changes))
    assert not (tmp_path / "run").exists()


def test_more_processes_than_gpus_are_refused_and_each_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(SettingsError, match=r"started 3 processes on a machine with 2 GPUs; .* --nproc-per-node 2$"):
        take_device()
    assert taken == []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert take_device() == "cpu:gloo,cuda:nccl"
    assert taken == [1]


def test_what_takes_one_process_is_refused_by_the_first_and_left_by_the_others(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(
        SettingsError, match=r"'distill.compare' takes one process, and torchrun started 2; call it without"
    ):
        distill.compare(store_path, tmp_path / "compared", ["none", "own"], quick())
    with pytest.raises(SettingsError, match=r"'distill.advise' takes one process"):
        distill.advise(store_path, tmp_path / "advised")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match=r"^0$"):
        refuse_ranks("distill evaluate")
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_ranks("distill evaluate")
    assert not list(tmp_path.iterdir())
