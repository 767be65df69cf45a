"""The processes that train one student together, as torchrun starts them; see `joined`.

Each works on its part of every batch. The first, rank 0, alone writes and speaks; another speaks where it is the first to fail.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from embedstore.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

_POLL = 0.05  # seconds
_TELLING = timedelta(seconds=30)
_numbers = count()  # the ranks of one process may join time after time, and meet under another name each time


class Ranks:
    """Some processes that train one student, and which of them this is.

    Args:
        rank: counted from 0.
        size: how many there are.
        store: where they leave each other words; None for one alone.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Store | None = None):
        self.rank, self.size = rank, size
        self._store, self._shared = store, count()

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def sizes(self, rows: int) -> list[int]:
        """Return how many of some rows each rank works on; they differ by one at most."""
        return [rows // self.size + (rank < rows % self.size) for rank in range(self.size)]

    def part(self, rows: int) -> slice:
        """Return which of some rows this rank works on."""
        sizes = self.sizes(rows)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def rows(self, own: Tensor, rows: int) -> Tensor:
        """Return the `rows` rows (rows, ...) of all ranks, in order, from this one's `part` of them.

        Where gradients are taken, all ranks must compute the same of the rows: the own part gets the gradient that it has in one
        process, times the number of ranks, since `DistributedDataParallel` divides by it.
        """
        if self.size == 1:
            return own
        import torch
        from torch import distributed

        sizes = self.sizes(rows)
        padded = own.new_zeros((max(sizes), *own.shape[1:]))
        padded[: len(own)] = own.detach()
        found = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(found, padded)
        parts = [part[:size] for part, size in zip(found, sizes, strict=True)]
        parts[self.rank] = own.view_as(own)  # of its own, since what else is made of these rows has its own gradient
        if own.requires_grad:
            parts[self.rank].register_hook(lambda gradient: gradient * self.size)  # type: ignore[no-untyped-call]
        return torch.cat(parts)

    def share(self, make: Callable[[], bytes]) -> bytes:
        """Return what rank 0 makes; the others wait for it."""
        if self._store is None:
            return make()
        import torch
        from torch import distributed

        key = f"length of {next(self._shared)}"
        made = make() if self.first else b""
        if self.first:
            self._store.set(key, str(len(made)))
        # A broadcast would give up while rank 0 works, and Ctrl-C ends no wait of PyTorch's.
        while not self._store.check([key]):
            time.sleep(_POLL)
        content = torch.frombuffer(bytearray(made or bytes(int(self._store.get(key)))), dtype=torch.uint8)
        if len(content):
            distributed.broadcast(content, 0)
        return content.numpy().tobytes()

    def same(self, make: Callable[[], T], to_bytes: Callable[[T], bytes], from_bytes: Callable[[bytes], T]) -> T:
        """Return what rank 0 makes, on all: what each would make may differ by machine, and takes time on each."""
        return make() if self._store is None else from_bytes(self.share(lambda: to_bytes(make())))

    def agree(self, say: Callable[[], Any]) -> Any:
        """Return what rank 0 says: text, numbers, and lists and tables of them."""
        return say() if self._store is None else json.loads(self.share(lambda: json.dumps(say()).encode()))

    def _is_first_to_fail(self) -> bool:
        """Return whether this rank is the one that tells why all end; else wait until that is told."""
        assert self._store is not None  # noqa: S101  only ranks of several ask
        try:
            before = self._store.add("failed", 1) - 1
        except RuntimeError:  # who hosts the store is gone, and nobody else can be asked
            before = 0
        if before:
            with suppress(RuntimeError):
                self._store.wait(["told"], _TELLING)  # torchrun ends the others as soon as one has left
            return False
        atexit.register(self._tell)
        return True

    def _tell(self) -> None:
        with suppress(RuntimeError):
            assert self._store is not None  # noqa: S101
            self._store.set("told", "")


ALONE = Ranks()
_together = ALONE


def started_ranks() -> int:
    """Return how many processes torchrun started, this one among them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def refuse_ranks(what: str) -> None:
    """Refuse several processes for what takes one; the first says so, and the others leave.

    Raises:
        SettingsError: torchrun started several.
    """
    if started_ranks() == 1:
        return
    if int(os.environ["RANK"]):
        raise SystemExit(0)  # else torchrun would end the first before it has spoken
    raise SettingsError(
        f"'{what}' takes one process, and torchrun started {started_ranks()}; call it without torchrun: only distill train "
        "takes several."
    )


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started, while inside; without it, or inside already, nothing is done.

    Each rank gets a GPU of its node where there are GPUs. Where ranks fail, one of them raises its error, and the others leave.

    Raises:
        SettingsError: a node has more ranks than GPUs, or it is not told where they meet.
        TrainingError: another rank is gone, or can't be reached.
    """
    global _together  # noqa: PLW0603  a process is in one group at a time, as PyTorch has it
    if _together is not ALONE or started_ranks() == 1:
        yield _together
        return
    # Where PyTorch is not loaded yet: each rank would warn of what is meant here. Errors are raised in any case.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://"))
    except ValueError as error:
        raise SettingsError(
            f"RANK and WORLD_SIZE tell of {started_ranks()} processes, but not where they meet ({error}); start them by "
            "torchrun, or unset both for one process."
        ) from error
    except distributed.DistError as error:
        raise TrainingError(f"The other processes can't be reached ({error}); start all again by torchrun.") from error
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = PrefixStore(f"distill/{again}/{next(_numbers)}", store)
    ranks = Ranks(rank, size, own)
    try:
        backend = take_device()
        distributed.init_process_group(backend, store=own, rank=rank, world_size=size)
        _together = ranks
        yield ranks
        distributed.destroy_process_group()
    except BaseException as error:
        if not ranks._is_first_to_fail():
            raise SystemExit(2) from error
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise TrainingError(
                f"Rank {rank} of {size} has lost another one, so all end; finished epochs are kept, and the same command goes on "
                "from there with --resume."
            ) from error
        raise
    finally:
        _together = ALONE


def take_device() -> str:
    """Take this rank's GPU, if its node has GPUs, and return what the ranks speak through.

    Raises:
        SettingsError: the node has more ranks than GPUs.
    """
    import torch

    if not torch.cuda.is_available():
        return "gloo"
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if here > gpus:
        raise SettingsError(
            f"torchrun started {here} processes on a machine with {gpus} GPUs; expected one a GPU at most: torchrun "
            f"--nproc-per-node {gpus}"
        )
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return "cpu:gloo,cuda:nccl"
