"""Shards: embedded pictures as files, by which machines hand their work to the one process that writes the store.

    FOLDER/                     all machines of a run see it; STORE.shards where no other is given
      KEY.begun                 a byte for each time that somebody began to embed this shard
      KEY.safetensors           what came of it, written whole
      KEY.done                  JSON, written after it: the file's checksum; without it, a file counts as none
      KEY.taken                 in place of the marker: it went into the store, so nobody who is late makes it again in this run
      KEY.damaged               a file that failed its checksum, set aside

KEY is a hash of the content: of the store's path, its teacher, recipe and outputs, of each picture's id and bytes, and of the
views that were cut. So whoever is to make a shard that is done already finds it, and what a run left is taken in by the next.

Who may write into the folder may put vectors into the store: a folder that is not named but lies beside the store is used only
where it belongs to who runs the build, who owns the store, or the system. What a file holds is checked whatever its owner.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embedstore.engines.cutting import Cut
from embedstore.engines.engine import Embedded, Job
from embedstore.engines.shard_file import packed, unpacked
from embedstore.errors import CorruptStoreError, EmbedstoreError, EngineError
from embedstore.files import write_whole
from embedstore.pictures import content_hash

_ENDINGS = BEGUN, DATA, DONE, TAKEN, DAMAGED = ".begun", ".safetensors", ".done", ".taken", ".damaged"
_KEY = re.compile("[0-9a-f]{32}")
_PREFIX = 8  # letters of a key that say whose it is


class ShardWarning(UserWarning):
    """A shard can't be used, and what becomes of it."""


def folder_of(store: Path) -> Path:
    """Return the folder for the shards of a store where no other is given."""
    real = store.resolve()
    return real.with_name(f"{real.name}.shards")


class Shards:
    """The folder, for the shards of one job.

    Raises:
        OSError: by every method: the system does not let the folder be read or written.
    """

    def __init__(self, job: Job):
        self.folder = job.shards
        self._outputs = dict(job.outputs)
        definitions = job.space.get("definitions", {})
        same = [job.fingerprint, job.input_size, job.recipe.to_dict(), self._outputs, definitions]
        # Two stores may hand over by one folder, so a shard's key begins with whose it is.
        self._job = _digest([str(job.store), *same])
        self._prefix = self._job[:_PREFIX]

    def key(self, pictures: Iterable[Cut]) -> str:
        """Return the key of some pictures that were read and cut."""
        own = sorted([p.id, (p.content or b"").hex(), list(p.views), p.pixels is not None] for p in pictures)
        return self._prefix + _digest([self._job, own])[_PREFIX:]

    def begin(self, key: str) -> None:
        """Note that somebody begins to embed a shard."""
        with open(self.folder / f"{key}{BEGUN}", "ab", opener=_open_no_link) as file:
            file.write(b".")

    def is_done(self, key: str) -> bool:
        """Return whether a shard is there, whole, as far as its marker says, or was taken in already."""
        return any((self.folder / f"{key}{ending}").exists() for ending in (DONE, TAKEN))

    def write(self, key: str, pictures: Sequence[Embedded]) -> None:
        """Write a shard, then its marker."""
        data = packed(pictures, self._outputs)
        write_whole(self.folder / f"{key}{DATA}", data)
        write_whole(self.folder / f"{key}{DONE}", json.dumps({"checksum": content_hash(data).hex()}).encode())

    def done(self) -> list[str]:
        """Return the keys of the shards of this job that are done."""
        return sorted(path.stem for path in self.folder.glob(f"{self._prefix}*{DONE}") if _KEY.fullmatch(path.stem))

    def read(self, key: str) -> list[Embedded] | None:
        """Return what a shard holds, checked; None where it is damaged, which is then set aside and told by a warning."""
        file = self.folder / f"{key}{DATA}"
        try:
            data = _bytes(file)
            if content_hash(data).hex() != self._marker(key).get("checksum"):
                raise CorruptStoreError("it fails its checksum")
            return unpacked(data, self._outputs)
        except (CorruptStoreError, FileNotFoundError) as error:
            with suppress(FileNotFoundError):
                file.replace(file.with_suffix(DAMAGED))
            self.drop(key)
            warnings.warn(
                f"The shard '{file}' is damaged ({error}); it was set aside, and its pictures are embedded again.",
                ShardWarning,
                stacklevel=2,
            )
            return None

    def drop(self, key: str) -> None:
        """Remove a shard, its marker first: a file without one counts as none."""
        for ending in (DONE, DATA, BEGUN):
            (self.folder / f"{key}{ending}").unlink(missing_ok=True)

    def take(self, key: str) -> None:
        """Remove a shard that went into the store, but for the word that it did."""
        marker = self.folder / f"{key}{DONE}"
        with suppress(FileNotFoundError):
            marker.replace(marker.with_suffix(TAKEN))
        self.drop(key)

    def forget_taken(self) -> None:
        """Remove the word of what went into the store, and what late ones made of it; where nobody works on any shard."""
        for marker in self.folder.glob(f"{self._prefix}*{TAKEN}"):
            self.drop(marker.stem)
            marker.unlink(missing_ok=True)

    def times_begun(self, key: str) -> int:
        """Return how often somebody began to embed a shard."""
        try:
            return (self.folder / f"{key}{BEGUN}").stat().st_size
        except FileNotFoundError:
            return 0

    def unfinished(self) -> list[str]:
        """Return the keys of the shards of this job that somebody began and nobody finished."""
        begun = (path.stem for path in self.folder.glob(f"{self._prefix}*{BEGUN}"))
        return [key for key in begun if _KEY.fullmatch(key) and not self.is_done(key)]

    def remove_fresh(self) -> None:
        """Remove files of this job that `write_whole` left half written in a process that was killed."""
        for fresh in self.folder.glob(f".{self._prefix}*.new-*"):
            fresh.unlink(missing_ok=True)

    def _marker(self, key: str) -> dict[str, Any]:
        """Return what the marker of a shard says; nothing where that is no JSON object."""
        try:
            said = json.loads(_bytes(self.folder / f"{key}{DONE}"))
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}


def left_behind(job: Job) -> Generator[list[Embedded]]:
    """Yield the pictures of each shard that a run finished and did not bring into the store; one that was taken is removed.

    Raises:
        EngineError: the folder can't be read or written, or is somebody else's.
    """
    shards = Shards(job)
    with usable(job.shards):
        _refuse_a_strangers(job)
        for key in shards.done():
            pictures = shards.read(key)
            if pictures is not None:
                yield pictures
                shards.drop(key)


def sweep(job: Job) -> int:
    """Remove what was begun and not finished, and return how many shards that are; only where nobody works on any.

    Raises:
        EngineError: the folder can't be read or written.
    """
    shards = Shards(job)
    with usable(job.shards):
        shards.forget_taken()
        unfinished = shards.unfinished()
        for key in unfinished:
            shards.drop(key)
        shards.remove_fresh()
    return len(unfinished)


def remove_all(job: Job) -> None:
    """Remove all shards of a job, and the folder where nothing else is in it; warn of other shards.

    Raises:
        EngineError: the folder can't be read or written.
    """
    sweep(job)
    shards = Shards(job)
    with usable(job.shards):
        for key in shards.done():
            shards.drop(key)
        others = sum(
            _KEY.fullmatch(path.stem) is not None and path.suffix in _ENDINGS for path in job.shards.glob("*.*")
        )
    if others:
        warnings.warn(
            f"Files in the folder of shards '{job.shards}' whose names begin with 32 hex digits ({others}) are damaged shards or "
            "those of another store, teacher or choice of outputs; remove them if nobody waits for them.",
            ShardWarning,
            stacklevel=2,
        )
    with suppress(OSError):  # it is not there, or not empty
        job.shards.rmdir()


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Make one sentence of what the system says of a folder of shards.

    Raises:
        EngineError: it can't be read or written.
    """
    try:
        yield
    except EmbedstoreError:  # some of which are an OSError, too
        raise
    except OSError as error:
        raise EngineError(
            f"The folder of shards '{folder}' can't be used ({error.strerror or error}); see who may write there, or name "
            "another one by --shards."
        ) from error


def _refuse_a_strangers(job: Job) -> None:
    """Raise where the folder beside the store was put there by somebody else; one that was named is what its owner says.

    Raises:
        EngineError: it was.
    """
    folder = job.shards
    if folder != folder_of(job.store) or not os.path.lexists(folder):
        return
    own = {0, job.store.stat().st_uid}
    if hasattr(os, "geteuid"):
        own.add(os.geteuid())
    if folder.lstat().st_uid not in own:
        raise EngineError(
            f"The folder of shards '{folder}' belongs to neither you nor the owner of the store, and whoever fills it fills the "
            "store; remove it, or name it by --shards if you trust what it holds."
        )


def _bytes(file: Path) -> bytes:
    """Return what a file holds.

    Raises:
        CorruptStoreError: it is a link, or no file, such as a pipe that nobody writes to.
    """
    if not stat.S_ISREG(file.lstat().st_mode):
        raise CorruptStoreError("it is a link or no file")
    return file.read_bytes()


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _digest(values: Any) -> str:
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()
