"""Two processes that train one student come to what one comes to, whatever the loss."""

import atexit
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rank_runs
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed import HashStore
from toy_parts import quick

import distill
from distill.students import make_student
from distill.training.batch_norm import batch_norms_of
from distill.training.ranks import Ranks, refuse_ranks, take_device
from distill.training.run_directory import read_metrics
from distill_cli.main import main
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


def test_each_batch_norm_of_a_student_of_timm_is_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    student, taken = make_student("mobilenetv3_small_050", 2, 64, 0), list[int]()

    def take(maps: Tensor, *_: object) -> Tensor:
        taken.append(maps.shape[1])
        return maps

    monkeypatch.setattr("distill.training.batch_norm._BatchNorm.apply", take)
    with batch_norms_of(Ranks(0, 2)):
        student.train()(torch.zeros(2, 3, 64, 64))
        found = sorted(taken)
        student.eval()(torch.zeros(2, 3, 64, 64))
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    assert found == sorted(norm.num_features for norm in norms)
    assert len(taken) == len(norms) > 10


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


@pytest.mark.parametrize(
    ("part", "changes", "told"),
    [
        ("settings", {"batch": 8}, "Rank 1 has batch = 16, but rank 0 has 8; give all .* the same command"),
        ("store", {"fingerprint": "other"}, "Rank 1 has fingerprint = .*, but rank 0 has other; .* the same store"),
    ],
)
def test_a_rank_that_would_train_something_else_than_the_first_is_refused(
    part: str, changes: dict[str, Any], told: str, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(say: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        if (said := say()) is None:  # which version of the store an earlier run was begun with
            return None
        return said | {part: said[part] | changes | ({"path": "/elsewhere"} if part == "store" else {})}

    rank = Ranks(1, 2)
    monkeypatch.setattr(rank, "agree", first)
    monkeypatch.setattr("distill.training.ranks._together", rank)
    with pytest.raises(SettingsError, match=told):
        distill.train(store_path, tmp_path / "run", quick(batch=16))


def test_of_ranks_that_fail_the_first_alone_says_why() -> None:
    store = HashStore()
    one, two = Ranks(0, 2, store), Ranks(1, 2, store)
    assert two._is_first_to_fail()
    atexit.unregister(two._tell)
    two._tell()
    assert not one._is_first_to_fail()


def test_ranks_that_are_not_told_where_they_meet_are_refused(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(SettingsError, match=r"tell of 2 processes, but not where they meet .*; start them by torchrun"):
        distill.train(store_path, tmp_path / "run", quick())


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
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(
        SettingsError, match=r"'distill.compare' takes one process, and torchrun started 2; call it without"
    ):
        distill.compare(store_path, tmp_path / "compared", ["none", "own"], quick())
    with pytest.raises(SettingsError, match=r"'distill.advise' takes one process"):
        distill.advise(store_path, tmp_path / "advised")
    monkeypatch.setattr(sys, "argv", ["distill", "evaluate", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    assert "Error: 'distill evaluate' takes one process, and torchrun started 2;" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match=r"^0$"):
        refuse_ranks("distill evaluate")
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_ranks("distill evaluate")
    assert not list(tmp_path.iterdir())
