"""Views that were cut once come again as they were, and what can't be kept is cut each time."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_parts import quick

import distill
from distill.training import cut_cache
from distill.training.cut_cache import CutCache
from distill.training.pictures import StudentPictures
from embedstore import EmbeddingStore
from embedstore.views import View, draw_view


def draw(count: int, size: int = 4) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def test_what_was_put_is_found_and_nothing_else(tmp_path: Path) -> None:
    cache, views = CutCache(tmp_path, 10, 3, 4), draw(4)
    pictures, numbers = np.array([7, 7, 0, 9]), np.array([0, 2, 1, 1])
    _, there = cache.get(pictures, numbers)
    assert not there.any()
    cache.put(pictures, numbers, views)
    found, there = cache.get(np.array([9, 7, 7, 7]), np.array([1, 1, 2, 0]))
    assert there.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(found[there], views[[3, 1, 0]])
    cache.close()


def test_a_view_is_kept_once(tmp_path: Path) -> None:
    cache = CutCache(tmp_path, 10, 1, 4)
    for _ in range(3):
        cache.put(np.array([1, 1, 2]), np.zeros(3, np.int64), draw(3)[[0, 0, 1]])
    assert cache._used == 2
    cache.close()


def test_several_processes_share_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_cache, "MOST_BYTES", 9 * 4 * 4 * 3)
    for files, kept in ((1, 6), (3, 3)):
        cache = CutCache(tmp_path, 10, 1, 4, files)
        cache.put(np.arange(6), np.zeros(6, np.int64), draw(6))
        assert cache.get(np.arange(6), np.zeros(6, np.int64))[1].sum() == kept
        cache.close()


def test_several_runs_and_their_processes_share_the_room(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        "distill.training.pictures.CutCache", lambda *given: asked.append(given[-1]) or CutCache(*given)
    )
    for runs, files in ((1, 1), (3, 1), (3, 2)):
        pictures = StudentPictures(store, 32, runs=runs)
        pictures.keep_cuts(tmp_path, 3, files)
        pictures.close()
    distill.train(store, tmp_path / "run", quick(epochs=1), runs=4)
    assert asked == [1, 3, 6, 4]


def test_nobody_sees_the_file(tmp_path: Path) -> None:
    cache = CutCache(tmp_path, 10, 3, 4)
    cache.put(np.array([1]), np.array([1]), draw(1))
    if os.name == "posix":
        assert not list(tmp_path.iterdir())
    cache.close()
    assert not list(tmp_path.iterdir())


def test_beyond_its_bound_it_keeps_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_cache, "MOST_BYTES", 2 * 4 * 4 * 3 + 5)
    cache = CutCache(tmp_path, 10, 1, 4)
    cache.put(np.arange(5), np.zeros(5, np.int64), draw(5))
    found, there = cache.get(np.arange(5), np.zeros(5, np.int64))
    assert there.tolist() == [True, True, False, False, False]
    np.testing.assert_array_equal(found[:2], draw(5)[:2])
    cache.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_where_the_disk_gets_full_it_gives_all_back(tmp_path: Path) -> None:
    cache = CutCache(tmp_path, 10, 1, 4)
    cache.put(np.array([0]), np.array([0]), draw(1))
    kept, cache._file = cache._file, open("/dev/full", "r+b", buffering=0)  # noqa: SIM115
    cache.put(np.array([1]), np.array([0]), draw(1))
    cache._file.close()
    cache._file = kept
    cache.put(np.array([2]), np.array([0]), draw(1))
    _, there = cache.get(np.arange(3), np.zeros(3, np.int64))
    assert not there.any()
    cache.close()


def test_a_batch_is_the_same_cut_at_once_in_parts_or_from_the_cache(store: EmbeddingStore, tmp_path: Path) -> None:
    # Bit for bit, for what is cut anew depends on what a run that was stopped had kept.
    positions, numbers = np.arange(30), np.arange(30) % 3
    views = [draw_view(store.recipe, store.ids[at], int(number)) for at, number in zip(positions, numbers, strict=True)]
    pictures = StudentPictures(store, 32)
    whole = pictures.cut(positions, views)
    pictures.keep_cuts(tmp_path, 3)
    some = np.array([3, 17, 4, 28])
    first = pictures.cut(some, [views[at] for at in some], numbers[some])
    mixed = pictures.cut(positions, views, numbers)
    again = pictures.cut(positions[::-1], views[::-1], numbers[::-1].copy())
    pictures.close()
    assert torch.equal(first, whole[some])
    assert torch.equal(mixed, whole)
    assert torch.equal(again, whole.flip(0))


def test_stored_views_are_cut_once_in_a_run_and_fresh_ones_each_time(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.training import cutting

    cut: list[View] = []
    work = cutting.cut_views

    def watched(pixels: object, views: list[View], *given: object, **named: object) -> object:
        cut.extend(views)
        return work(pixels, views, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(cutting, "cut_views", watched)
    for ce_views in ("all", "whole"):
        cut.clear()
        distill.train(store, tmp_path / ce_views, quick(policy="own", epochs=30, ce_views=ce_views))
        held = 20 + 20 + 3  # val, test and aside, whole
        ways = 3 if ce_views == "all" else 3 + 7
        assert 64 * (ways - 1) < len(cut) <= 64 * ways + held
    cut.clear()
    distill.train(store, tmp_path / "fresh", quick(policy="none", epochs=30, crops="fresh"))
    assert len(cut) == 64 * 30 + held


FAULTS = """
import resource
import numpy as np
from distill.training.memory import hold_freed_memory

print(hold_freed_memory())
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(10_000_000, np.uint8)
before = faults()
for _ in range(50):
    np.ones(10_000_000, np.uint8)
print(faults() - before)
"""


def test_held_memory_is_not_taken_from_the_system_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    told, faults = done.stdout.split()
    if told == "False":
        pytest.skip("This C library gives no say in it.")
    assert int(faults) < 50 * 100  # else 2,441 each time
