"""What all tests share."""

import functools
import os

# Before anything loads PyTorch or FAISS, here and in child processes: nets this small gain nothing from a second thread,
# lose much where threads fight for cores, and with another number of threads their sums round otherwise.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import lmdb
import pytest

hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the fsync of each commit, which no test can notice: what a killed process had written stays written."""
    monkeypatch.setattr(lmdb, "open", functools.partial(lmdb.open, sync=False))
