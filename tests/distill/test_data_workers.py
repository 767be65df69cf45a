"""The data set through loaders: any number of workers, forked or spawned, and no handle that passes through a fork."""

import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, WeightedRandomSampler
from toy_data import SIZE, TRAINING, VIEWS, Batch, Oracle, asked, everything, make_kept, make_oracle, same

import embedstore
from distill import DistillationDataset, handles
from distill.data import Item
from embedstore.errors import StoreError

needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
# Python 3.12 warns of any fork beside threads, NumPy's too.
beside_threads = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
FORKED = {"num_workers": 2, "multiprocessing_context": "fork"}
every_kind_of_worker = pytest.mark.parametrize(
    "workers",
    [
        pytest.param({"num_workers": 0}, id="none"),
        pytest.param(FORKED, id="fork", marks=[needs_fork, beside_threads]),
        pytest.param({"num_workers": 2, "multiprocessing_context": "spawn"}, id="spawn"),
    ],
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_kept(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def oracle(path: Path) -> Oracle:
    return make_oracle(path)


@pytest.fixture
def training(path: Path) -> Iterator[DistillationDataset]:
    with DistillationDataset(path, size=SIZE) as data:
        yield data


def epoch(loader: "DataLoader[Item]") -> Batch:
    """Return an epoch in one piece."""
    images, labels, targets = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels), torch.cat(targets)


# Through a loader


@every_kind_of_worker
def test_a_loader_gives_valid_items_that_the_seed_decides(
    workers: dict[str, Any], training: DistillationDataset, oracle: Oracle
) -> None:
    training[0]  # the store is open here when workers start
    loader = DataLoader(training, 16, **workers)
    torch.manual_seed(1)
    first, second = epoch(loader), epoch(loader)
    for images, labels, targets in (first, second):
        views = oracle.views(images, list(range(TRAINING)))
        assert set(views) == set(range(VIEWS + 1))
        assert torch.equal(targets, oracle.vectors[views, range(TRAINING)])
        assert labels.tolist() == training.labels.tolist()
    assert not torch.equal(first[0], second[0])  # other views in the next epoch
    torch.manual_seed(1)
    assert same(epoch(loader), first)
    torch.manual_seed(2)
    assert not same(epoch(loader), first)
    training[0]  # and goes on being read


@every_kind_of_worker
def test_workers_that_stay_draw_anew_in_each_epoch(
    workers: dict[str, Any], training: DistillationDataset, oracle: Oracle
) -> None:
    loader = DataLoader(training, 16, persistent_workers=bool(workers["num_workers"]), **workers)
    views = [oracle.views(epoch(loader)[0], list(range(TRAINING))) for _ in range(3)]
    assert len({tuple(drawn) for drawn in views}) == 3


@every_kind_of_worker
def test_what_a_policy_draws_at_each_step_differs_by_batch_and_epoch(workers: dict[str, Any], path: Path) -> None:
    with DistillationDataset(path, size=SIZE, policy="class-distribution") as data:
        sampler = [0, 1, 2, 3] * 4
        loader = DataLoader(data, 4, sampler=sampler, **workers)
        drawn = torch.stack([targets for _ in range(2) for _, _, targets in loader])
    assert drawn.shape[:2] == (8, 4)
    assert len({tuple(targets.flatten().tolist()) for targets in drawn}) == 8


def test_samplers_and_subsets_of_pytorch(training: DistillationDataset, oracle: Oracle) -> None:
    wanted = [9, 4, 40]
    images, labels, _ = next(iter(DataLoader(Subset(training, wanted), 3)))
    oracle.views(images, wanted)
    assert labels.tolist() == training.labels[wanted].tolist()
    weights = torch.from_numpy((training.labels == 0).astype(np.float64))
    loader = DataLoader(training, 8, sampler=WeightedRandomSampler(weights, 40))
    assert set(epoch(loader)[1].tolist()) == {0}


# Open handles


@pytest.mark.parametrize("name", ["none", "own", "retrieved", "rare-samples", "mixture"])
def test_a_pickled_data_set_is_the_same(name: str, path: Path) -> None:
    with DistillationDataset(path, size=SIZE, **asked(name)) as data:
        data[0]
        with pickle.loads(pickle.dumps(data)) as again:  # noqa: S301  as a spawned worker gets it
            torch.manual_seed(4)
            expected = everything(data.__getitems__(range(TRAINING)))
            torch.manual_seed(4)
            assert same(everything(again.__getitems__(range(TRAINING))), expected)
        assert len(data[0]) == 3


def test_a_closed_data_set_opens_the_store_again(training: DistillationDataset) -> None:
    for _ in range(2):
        training.close()
        assert len(training[1]) == 3


@pytest.mark.parametrize("kept", [True, False], ids=["kept pictures", "files"])
@needs_fork
@beside_threads
def test_forked_workers_read_beside_this_process(kept: bool, path: Path, oracle: Oracle, tmp_path: Path) -> None:
    store = shutil.copytree(path, tmp_path / "copy.store")
    if not kept:
        shutil.rmtree(store / "pictures")
    with (
        DistillationDataset(store, size=SIZE) as train,
        DistillationDataset(store, "val", size=SIZE) as val,
    ):
        for _ in range(2):
            for batch, (images, _, targets) in enumerate(DataLoader(train, 16, **FORKED)):
                views = oracle.views(images, list(range(batch * 16, batch * 16 + 16)))
                assert torch.equal(targets, oracle.vectors[views, range(batch * 16, batch * 16 + 16)])
                val[0], train[0]
            assert len(epoch(DataLoader(val, 16, **FORKED))[0]) == len(val)


@needs_fork
@beside_threads
def test_a_data_set_that_was_forgotten_open_is_in_nobodys_way(path: Path) -> None:
    DistillationDataset(path, size=SIZE)[0]
    data = DistillationDataset(path, size=SIZE)
    DistillationDataset(path, "val", size=SIZE)[0]
    embedstore.open(path)
    assert len(epoch(DataLoader(data, 16, **FORKED))[0]) == TRAINING


def test_what_was_forgotten_open_is_closed_when_another_opens(path: Path) -> None:
    DistillationDataset(path, size=SIZE)[0]
    gc.collect()
    data = DistillationDataset(path, size=SIZE)
    assert list(handles._open) == [data._handles]


@needs_fork
@beside_threads
def test_a_forked_worker_says_that_somebody_holds_the_store_open(path: Path) -> None:
    with embedstore.open(path) as store, DistillationDataset(store, size=SIZE) as data:
        batches = iter(DataLoader(data, 16, **FORKED))
        with pytest.raises(
            StoreError, match="A forked process can't use a store that its parent opened; start workers"
        ):
            next(batches)
        batches._shutdown_workers()  # type: ignore[attr-defined]  # left to the garbage collection, it takes 10 s
        assert len(data[0]) == 3
        assert store.read(np.arange(2)).shape == (2, 192)


def ended(child: int, seconds: float = 60) -> int:
    """Return the exit code of a forked child, which is killed where it takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"A forked child did not end within {seconds} s.")


@needs_fork
@beside_threads
def test_a_fork_waits_for_a_thread_that_is_reading(training: DistillationDataset, oracle: Oracle) -> None:
    done, wrong = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            try:
                oracle.views(everything(training.__getitems__([1, 2]))[0], [1, 2])
            except Exception as error:  # noqa: BLE001  it is told below
                wrong.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    training[0]
                    os._exit(0)
                finally:
                    os._exit(1)
            assert ended(child) == 0
    finally:
        done.set()
        thread.join()
    assert not wrong


def test_what_changes_in_the_store_later_is_not_seen(path: Path, oracle: Oracle, tmp_path: Path) -> None:
    """Else a worker that starts later would read other samples at the same positions."""
    store = shutil.copytree(path, tmp_path / "copy.store")
    data = DistillationDataset(store, size=SIZE)
    with embedstore.open(store) as opened, opened.write() as changes:
        changes.delete(oracle.ids[:10])
    data.close()
    images, _, targets = everything(list(data))
    views = oracle.views(images, list(range(TRAINING)))
    assert torch.equal(targets, oracle.vectors[views, range(TRAINING)])
    data.close()
    with DistillationDataset(store, size=SIZE) as newer:
        assert newer.ids == oracle.ids[10:]
