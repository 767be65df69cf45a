"""The LMDB handle: one per process and store, never across a fork, one writer, readers that never see half a change."""

import contextlib
import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest
from helpers import python_environment, run_python, snapshot, store_of, unit_vectors, write_pictures

import embedstore
from embedstore.errors import CorruptStoreError, StoreError, StoreLockedError
from embedstore.store import data_file, environment
from embedstore.store.creating import create_store
from embedstore.store.environment import Environment, open_environment
from embedstore.store.layout import Column, read_current
from embedstore.store.tables import Tables
from embedstore.store.writing import next_head, writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 300 samples, two blocks, whose handle is closed."""
    store_of(tmp_path / "store", unit_vectors(1, 300), labels=["good"] * 300).close()
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def no_handle_is_left() -> Iterator[None]:
    before = set(environment._open)
    yield
    left = {directory: handle for directory, handle in environment._open.items() if directory not in before}
    for directory, handle in left.items():
        del environment._open[directory]
        handle._env.close()
    assert not left


# One handle


def test_a_process_has_one_handle_per_real_path(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    with (
        embedstore.open(path) as one,
        embedstore.open(tmp_path / "link") as two,
        embedstore.open("store/../store") as three,
    ):
        assert one.environment is two.environment is three.environment
        two.close()
        assert one.ids == three.ids
        assert len(one) == 300


def test_closing_twice_takes_nothing_from_the_others(path: Path) -> None:
    with embedstore.open(path) as one:
        two = embedstore.open(path)
        two.close()
        two.close()
        assert len(one.vectors()) == 300


def test_a_closed_store_says_so(path: Path) -> None:
    store = embedstore.open(path)
    store.close()
    with pytest.raises(StoreError, match=r"was closed; open it again with embedstore\.open\.$"):
        store.vectors()
    with pytest.raises(StoreError, match="was closed"):
        store.environment.write(lambda transaction: None)
    with embedstore.open(path) as again:
        assert len(again) == 300


def test_a_store_that_fails_to_open_leaves_no_handle(tmp_path: Path) -> None:
    settings = {"recipe": {**embedstore.Recipe().to_dict(), "version": 99}, "image_root": "."}
    create_store(tmp_path / "later", settings, "0" * 32, {"teacher": "t", "outputs": {"embedding": 2}, "input_size": 8})
    with pytest.raises(StoreError, match="recipe version 99"):
        embedstore.open(tmp_path / "later")
    assert read_current(tmp_path / "later").resolve() not in environment._open


def test_a_store_built_again_at_its_old_place_is_another_one_even_while_somebody_holds_the_old(path: Path) -> None:
    old = embedstore.open(path)
    shutil.rmtree(path)
    store_of(path, unit_vectors(2, 3), ids=["x", "y", "z"]).close()
    with embedstore.open(path) as new:
        assert new.ids == ["x", "y", "z"]
        assert (new.vectors() == unit_vectors(2, 3)).all()
    assert len(old.vectors()) == 300  # what it holds is still there for it
    old.close()


# Forks and spawned workers


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads, NumPy's too
import embedstore
from embedstore.errors import StoreError

store = embedstore.open(sys.argv[1])
store.ids
calls = {
    "read": lambda: store.vectors(),
    "write": lambda: store.split(),
    "open": lambda: embedstore.open(sys.argv[1]),
}
child = os.fork()
if child == 0:
    wrong = []
    for name, call in calls.items():
        try:
            call()
            wrong.append(name)
        except StoreError as error:
            if "A forked process can't use a store that its parent opened; start workers with" not in str(error):
                wrong.append(f"{name}: {error}")
    store.close()  # must not touch what the parent uses
    print(wrong, flush=True)
    os._exit(0)
os.waitpid(child, 0)
before = store.version
store.split()
with embedstore.open(sys.argv[1]) as other:
    print(store.version - before, len(store.vectors()), other.version - before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_refused_and_the_parent_goes_on(path: Path) -> None:
    done = run_python(FORK, path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "1 300 1"]


FORKS = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads
import embedstore
from embedstore.store import environment

one, other = sys.argv[1:]

def fork_and_open_the_other(first=lambda: None):
    child = os.fork()
    if child == 0:
        try:
            first()
            with embedstore.open(other) as store:
                os._exit(0 if len(store.vectors()) == 3 else 3)
        finally:
            os._exit(4)
    for _ in range(2000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            print(os.waitstatus_to_exitcode(status), flush=True)
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    sys.exit("a child hangs")
"""

BESIDE_A_THREAD_THAT_OPENS = """
identity, done = environment._identity, threading.Event()

def slow(directory):  # asked under the lock, which is held most of the time thereby
    time.sleep(0.005)
    return identity(directory)

def come_and_go():
    while not done.is_set():
        embedstore.open(one).close()

environment._identity = slow
thread = threading.Thread(target=come_and_go, daemon=True)
thread.start()
for _ in range(30):
    fork_and_open_the_other()
done.set()
thread.join()
"""

BY_WHO_HOLDS_THE_LOCK = """
with environment._guard:  # as a signal handler may
    fork_and_open_the_other()
fork_and_open_the_other()
"""

BESIDE_A_THREAD_THAT_READS = """
store, taken, done = embedstore.open(one), threading.Event(), threading.Event()

def read():
    with store.environment._turn:
        taken.set()
        done.wait()

thread = threading.Thread(target=read, daemon=True)
thread.start()
taken.wait()
fork_and_open_the_other(first=store.close)
done.set()
thread.join()
print(0 if len(store.vectors()) == 300 else 5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(
    ("code", "told"),
    [(BESIDE_A_THREAD_THAT_OPENS, 30), (BY_WHO_HOLDS_THE_LOCK, 2), (BESIDE_A_THREAD_THAT_READS, 2)],
    ids=["beside a thread that opens", "by who holds the lock", "beside a thread that reads"],
)
def test_no_forked_child_waits_for_a_thread_of_its_parent(code: str, told: int, path: Path, tmp_path: Path) -> None:
    store_of(tmp_path / "other", unit_vectors(2, 3), ids=["x", "y", "z"]).close()
    done = run_python(FORKS + code, path, tmp_path / "other")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0"] * told


def read_in_a_worker(path: str, answers: "multiprocessing.Queue[object]") -> None:
    with embedstore.open(path) as store:
        answers.put((store.version, store.ids[:2], store.vectors(["sample 00299"]).tolist()))


def test_a_spawned_worker_opens_its_own(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with embedstore.open(path) as store:
        answers = spawn.Queue()
        worker = spawn.Process(target=read_in_a_worker, args=(str(path), answers))
        worker.start()
        assert answers.get(timeout=60) == (1, store.ids[:2], store.vectors(["sample 00299"]).tolist())
        worker.join(60)
        assert worker.exitcode == 0


# One writer


HOLD = """
import sys, embedstore
from embedstore.store.writing import writer
with embedstore.open(sys.argv[1]) as store, writer(store.path):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_second_writer_is_told_who_writes_and_a_killed_one_leaves_no_lock(path: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png"])
    with start(HOLD, path) as holder, embedstore.open(path) as store:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for attempt in (
            store.split,
            lambda: store.summarize("class-mean", name="means"),
            lambda: embedstore.build(path, tmp_path / "images"),
        ):
            with pytest.raises(StoreLockedError) as caught:
                attempt()
            assert str(caught.value) == (
                f"Another process (id {holder.pid}) is writing to '{path}'; wait until it is done, or stop it."
            )
        assert len(store.vectors()) == 300  # reading goes on
        holder.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        holder.wait()
        assert (path / "writer.pid").exists()
        store.split()
        assert store.version == 2
        assert not (path / "writer.pid").exists()


def test_a_second_writer_of_the_same_process_is_refused_too(path: Path) -> None:
    with (
        embedstore.open(path) as store,
        writer(path),
        pytest.raises(StoreLockedError, match=f"id {os.getpid()}"),
    ):
        store.split()


# Readers beside a writer


READ_ON_DEMAND = """
import sys, embedstore
from helpers import forget
with embedstore.open(sys.argv[1]) as store:
    print("open", flush=True)
    for line in sys.stdin:
        if line == "refresh\\n":
            store.refresh()
        forget(store)
        print(store.version, len(store), store.labels[0], flush=True)
"""


def test_a_reader_in_another_process_sees_the_old_version_until_the_head_moves_and_until_it_looks_anew(
    path: Path,
) -> None:
    with start(READ_ON_DEMAND, path) as reader, embedstore.open(path) as store:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def ask(what: str) -> str:
            reader.stdin.write(f"{what}\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        assert reader.stdout.readline() == "open\n"

        def publish(tables: Tables) -> None:
            tables.put_fields(np.array([0]), {"label": ["bad"]}, 2)
            assert ask("refresh") == "1 300 good"  # while the transaction is open: it neither waits nor sees
            tables.put_head(next_head(store.head))

        with writer(path) as session:
            session.write(lambda tables: tables.put_fields(np.array([0]), {"label": ["bad"]}, 2))
            assert ask("refresh") == "1 300 good"  # committed, but the head has not moved
            session.write(publish)
        assert ask("look") == "1 300 good"  # a reader stays at its version
        assert ask("refresh") == "2 300 bad"
        reader.stdin.close()
        assert reader.wait(30) == 0


def test_a_data_file_that_may_only_be_read_is_read_and_a_write_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda file, mode: not str(file).endswith("data.mdb") and access(file, mode))
    with embedstore.open(path) as store:
        assert len(store.vectors()) == 300
        with pytest.raises(StoreError, match=r"is read-only; copy it to where you may write\.$"):
            store.tag("now")
        assert len(store.vectors()) == 300


STAY = """
import sys
from pathlib import Path
from embedstore.store.environment import open_current
handle = open_current(Path(sys.argv[1]))
def stay(transaction):
    print("in", flush=True)
    sys.stdin.read()
handle.write(stay)
"""


def test_a_store_is_opened_while_another_process_is_in_a_write_transaction(path: Path) -> None:
    with start(STAY, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        done = run_python(READ_ALL, path, timeout=60)  # would wait until this process lets the other one end
        process.communicate("")
    assert (done.returncode, done.stdout) == (0, "read\n")


def test_a_thread_reads_while_another_one_waits_to_write(path: Path) -> None:
    entered, leave, read = threading.Event(), threading.Event(), threading.Event()

    def stay(transaction: lmdb.Transaction) -> None:
        entered.set()
        leave.wait(60)

    with embedstore.open(path) as store:
        held = threading.Thread(target=store.environment.write, args=(stay,))
        held.start()
        assert entered.wait(60)
        waiting = threading.Thread(target=store.environment.write, args=(lambda transaction: None,))
        waiting.start()
        while store.environment._active < 2:
            pass
        reader = threading.Thread(target=lambda: (store.row_total, read.set()))
        reader.start()
        there = read.wait(20)
        leave.set()
        for thread in (held, waiting, reader):
            thread.join(60)
        assert there


CLOSED_WHILE_READ = """
import sys, threading
import embedstore
from embedstore.store.tables import Tables

store = embedstore.open(sys.argv[1])
handle, column = store.environment, store.head.columns[0]
inside, closed = threading.Event(), threading.Event()

def look():
    with handle.read() as transaction:
        found = Tables(handle, transaction).vector_block(column, 0)
        inside.set()
        closed.wait()
        print(float(found[1][0, 0]), flush=True)  # a fault here would kill the process

thread = threading.Thread(target=look)
thread.start()
inside.wait()
store.close()
again = embedstore.open(sys.argv[1])  # LMDB opens no file twice in a process
again.close()
closed.set()
thread.join()
try:
    handle._env.stat()
except Exception as error:
    print(error)
"""


def test_a_handle_that_is_closed_while_a_thread_reads_is_closed_after_that(path: Path) -> None:
    done = run_python(CLOSED_WHILE_READ, path)
    first = float(unit_vectors(1, 300)[0, 0])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(first), "Attempt to operate on closed/deleted/dropped object."]


# A map that grows: everywhere but on 64-bit Linux and macOS it starts small


def test_a_small_map_grows_as_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 20)
    write_pictures(tmp_path / "images", [f"{number}.png" for number in range(300)])
    small = embedstore.build(tmp_path / "small", tmp_path / "images", teacher="pixels", views=6)
    with embedstore.open(tmp_path / "small") as store:
        grown = snapshot(store)
        assert store.environment._env.info()["map_size"] > 1 << 20
        assert store.environment._env.info()["last_pgno"] * 4096 > 1 << 20
    monkeypatch.undo()
    large = embedstore.build(tmp_path / "large", tmp_path / "images", teacher="pixels", views=6)
    with embedstore.open(tmp_path / "large") as store:
        assert snapshot(store) == grown
    assert small.embedded == large.embedded == 2100


GROW = """
import sys, threading, time
import numpy as np
from embedstore.store import environment
environment.FIRST_MAP_BYTES = 1 << 20
import embedstore
from embedstore.store.layout import Column
from embedstore.store.tables import Tables
from embedstore.store.writing import writer

store = embedstore.open(sys.argv[1])
events = []

def look():
    with store.environment.read() as transaction:
        found = Tables(store.environment, transaction).vector_block(store.head.columns[0], 0)
        looking.set()
        time.sleep(0.5)
        events.append(("looked", float(found[1][0, 0])))  # a fault here would kill the process

looking = threading.Event()
thread = threading.Thread(target=look)
thread.start()
looking.wait()
values = np.ones((256, 4000), np.float16)
with writer(store.path) as session:
    session.write(lambda tables: tables.put_vectors(Column("0" * 32, "large", 0), np.arange(256), values))
events.append(("grown", store.environment._env.info()["map_size"] > 1 << 20))
thread.join()
print(events)
"""


def test_the_map_grows_only_when_no_thread_looks_at_it(path: Path) -> None:
    done = run_python(GROW, path)
    first = float(unit_vectors(1, 300)[0, 0])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"[('looked', {first}), ('grown', True)]"


def test_a_reader_that_never_pauses_is_named_instead_of_waited_for_forever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 20)
    monkeypatch.setattr(environment, "_PATIENCE_SECONDS", 0.05)
    with embedstore.open(path) as store, store.environment.read(), pytest.raises(StoreError, match="has to grow"):
        store.environment.write(
            lambda transaction: transaction.put(b"k", bytes(2 << 20), db=store.environment.database(b"meta"))
        )


FOLLOW = """
import sys
from embedstore.store import environment
environment.FIRST_MAP_BYTES = 1 << 20
import embedstore
with embedstore.open(sys.argv[1]) as store:
    print("open", flush=True)
    sys.stdin.readline()
    store.refresh()
    print(store.version, len(store), flush=True)
"""


def test_a_reader_follows_when_another_process_made_the_map_grow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 20)
    with start(FOLLOW, path) as reader, embedstore.open(path) as store:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        values = np.ones((256, 4000), np.float16)
        with writer(path) as session:
            session.write(lambda tables: tables.put_vectors(Column("0" * 32, "large", 0), np.arange(256), values))
        store.split()
        assert store.environment._env.info()["last_pgno"] * 4096 > 1 << 20
        reader.stdin.write("go\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "2 300\n"
        assert reader.wait(30) == 0


# Damage


def flip(path: Path, needle: bytes) -> None:
    """Change one byte wherever `needle` stands in the data file; LMDB may hold an older copy of a page beside it."""
    file = next((path / "generations").glob("*/data.mdb"))
    data = bytearray(file.read_bytes())
    at = data.find(needle)
    assert at >= 0
    while at >= 0:
        data[at] ^= 0x10
        at = data.find(needle, at + 1)
    file.write_bytes(data)


def test_a_changed_byte_in_a_block_of_vectors_is_found(path: Path) -> None:
    flip(path, unit_vectors(1, 300)[280:282].tobytes())  # in the second block
    with embedstore.open(path) as store:
        assert (store.vectors(store.ids[:256]) == unit_vectors(1, 300)[:256]).all()
        for attempt in (
            lambda: store.vectors(["sample 00256"]),
            lambda: list(store.scan()),
            lambda: store.search(np.ones(12)),
            lambda: store.vectors(["sample 00256"]),  # and found again
        ):
            with pytest.raises(
                CorruptStoreError, match=r"'vectors' fails its checksum; see .* with: embedstore verify STORE$"
            ):
                attempt()


def test_a_changed_byte_in_a_field_is_found(path: Path) -> None:
    flip(path, b"sample 00123")
    with embedstore.open(path) as store, pytest.raises(CorruptStoreError, match="'fields' fails its checksum"):
        store.ids  # noqa: B018


def test_a_changed_byte_in_the_rows_is_found(path: Path) -> None:
    flip(path, embedstore.store.layout.id_key("sample 00007"))
    with embedstore.open(path) as store, pytest.raises(CorruptStoreError):
        _ = store.rows


def test_a_deleted_data_file_is_named(path: Path) -> None:
    (path / "generations" / "0001" / "data.mdb").unlink()
    with pytest.raises(CorruptStoreError, match=r"has no data\.mdb; restore the store from a copy\.$"):
        embedstore.open(path)


def test_a_data_file_of_something_else_is_named(path: Path) -> None:
    (path / "generations" / "0001" / "data.mdb").write_bytes(b"no database" * 5000)
    with pytest.raises(CorruptStoreError, match=r"its data\.mdb is damaged .* with: embedstore verify '.*store'$"):
        embedstore.open(path)


def test_an_emptied_data_file_is_named(path: Path) -> None:
    (path / "generations" / "0001" / "data.mdb").write_bytes(b"")
    with pytest.raises(CorruptStoreError, match=r"data\.mdb' is empty; restore the store from a copy\.$"):
        embedstore.open(path)


READ_ALL = """
import sys, embedstore
from embedstore.errors import EmbedstoreError
try:
    with embedstore.open(sys.argv[1]) as store:
        len(store), store.set_aside, list(store.scan()), store.summary_names
    print("read")
except EmbedstoreError as error:
    print(type(error).__name__)
"""


def test_a_truncated_data_file_ends_in_our_error_and_never_in_death(path: Path) -> None:
    """LMDB maps the file, so a page beyond its end would be a SIGBUS that no `except` can catch."""
    file = path / "generations" / "0001" / "data.mdb"
    whole = file.read_bytes()
    for size in (100, 4096, 8192, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        file.write_bytes(whole[:size])
        done = run_python(READ_ALL, path)
        assert (done.returncode, done.stderr) == (0, ""), size
        freed = size >= len(whole) - 4096  # perhaps the last page is one that was freed
        assert done.stdout.strip() in (["CorruptStoreError", "read"] if freed else ["CorruptStoreError"]), size
    file.write_bytes(whole)
    assert run_python(READ_ALL, path).stdout.strip() == "read"


def changed_at_random(path: Path, random: np.random.Generator) -> Path:
    path.mkdir()
    with lmdb.open(str(path), map_size=1 << 26, max_dbs=1) as raw:
        database = raw.open_db(b"some")
        for _ in range(5):
            with raw.begin(write=True, db=database) as transaction:
                for key in random.integers(0, 80, 30):
                    if random.random() < 0.5:
                        transaction.put(b"%d" % key, bytes(int(random.integers(60_000))))
                    else:
                        transaction.delete(b"%d" % key)
    return path


def content_of(path: Path) -> list[tuple[bytes, bytes]]:
    with lmdb.open(str(path), map_size=1 << 26, max_dbs=1) as raw, raw.begin(db=raw.open_db(b"some")) as transaction:
        return list(transaction.cursor())


def test_a_data_file_that_lacks_only_freed_pages_is_whole_and_filled_up_by_the_next_writer(tmp_path: Path) -> None:
    """LMDB never writes pages at the end of the file that were freed in the transaction that took them."""
    random = np.random.default_rng(0)
    tries = (changed_at_random(tmp_path / str(number), random) for number in range(100))
    found = next(path for path in tries if data_file.missing_bytes(path / "data.mdb"))
    before = content_of(found)
    data_file.refuse_truncated(found)
    data_file.fill_up(found)
    assert data_file.missing_bytes(found / "data.mdb") == 0
    assert content_of(found) == before


def cut(path: Path) -> Path:
    """Cut the last page off, and return the generation."""
    generation = path / "generations" / "0001"
    os.truncate(generation / "data.mdb", (generation / "data.mdb").stat().st_size - 4096)
    return generation


def test_no_code_in_the_working_directory_runs_where_a_file_is_short(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "hostile"
    (hostile / "embedstore").mkdir(parents=True)
    for name in ("struct.py", "embedstore/__init__.py"):
        (hostile / name).write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    monkeypatch.chdir(hostile)
    with contextlib.suppress(CorruptStoreError):
        data_file.refuse_truncated(cut(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time; time.sleep(60)", "that took more than 0.3 s"),
        ("raise ImportError", "the process that looked at it ended with code 1"),
        ("import os; print('begun', flush=True); os.kill(os.getpid(), 9)", "the process that looked .* code -9"),
    ],
)
def test_a_process_that_could_not_look_is_no_verdict_on_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    generation = cut(path)
    monkeypatch.setattr(data_file, "_CODE", code)
    if "sleep" in code:
        monkeypatch.setattr(data_file, "_PATIENCE_SECONDS", 0.3)
    with pytest.raises(StoreError, match=rf"can't be told, for {why}; try again") as caught:
        data_file.refuse_truncated(generation)
    assert not isinstance(caught.value, CorruptStoreError)


def test_a_store_at_rest_has_all_its_pages(path: Path) -> None:
    with embedstore.open(path) as store:
        for label in ("a", "b", "c"):
            with store.write() as writing:
                writing.set("label", dict.fromkeys(store.ids, label))
            assert data_file.missing_bytes(store.generation / "data.mdb") == 0


DISK_FULL = """
import resource, sys
import numpy as np, embedstore
from embedstore.errors import CorruptStoreError, StoreError

store = embedstore.open(sys.argv[1])
before = store.vectors()
size = (store.generation / "data.mdb").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
try:
    with store.write() as writing:
        for at in range(40):
            writing.add([f"new {at} {n}" for n in range(1000)], np.ones((1000, 12)))
except StoreError as error:
    print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with store.write() as writing:
    writing.add(["after"], np.ones((1, 12)))
assert (store.vectors()[:300] == before).all() and len(store) == 301
print(store.version)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files here")
def test_a_disk_that_fills_up_during_a_write_costs_only_that_write(path: Path) -> None:
    done = run_python(DISK_FULL, path)
    assert done.stderr == ""
    told, version = done.stdout.splitlines()
    assert told.startswith("StoreError Writing")
    assert "what was committed before is safe. Free some disk space" in told
    assert version == "2"


@pytest.mark.parametrize("error", [lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError])
def test_what_lmdb_finds_damaged_is_our_error(path: Path, error: type[Exception]) -> None:
    def fail(transaction: lmdb.Transaction) -> None:
        raise error("MDB_SOMETHING: seen")

    with embedstore.open(path) as store:
        with pytest.raises(CorruptStoreError, match=r"Writing .* damaged \(MDB_SOMETHING: seen\)"):
            store.environment.write(fail)
        with pytest.raises(CorruptStoreError, match="Reading"), store.environment.read() as transaction:
            fail(transaction)
        assert len(store.vectors()) == 300


def test_a_full_disk_is_told_with_what_is_safe(path: Path) -> None:
    def fail(transaction: lmdb.Transaction) -> None:
        raise lmdb.DiskError("No space left on device")

    with (
        embedstore.open(path) as store,
        pytest.raises(
            StoreError,
            match=r"Writing .* failed \(No space left on device\); what was committed before is safe\. Free some disk",
        ) as caught,
    ):
        store.environment.write(fail)
    assert not isinstance(caught.value, CorruptStoreError)


def test_a_failed_transaction_leaves_nothing(path: Path) -> None:
    def fail(transaction: lmdb.Transaction) -> None:
        Tables(store.environment, transaction).put_row_count(7)
        raise RuntimeError("stop")

    with embedstore.open(path) as store:
        with pytest.raises(RuntimeError, match="stop"):
            store.environment.write(fail)
        assert store._read(lambda tables: tables.row_count()) == 300


def test_the_handle_is_that_of_the_directory_current_names(path: Path) -> None:
    handle = open_environment(read_current(path))
    try:
        assert isinstance(handle, Environment)
        assert handle.directory == (path / "generations" / "0001").resolve()
    finally:
        handle.release()


def test_commits_are_synced_to_the_disk(path: Path) -> None:
    code = "import sys, embedstore; print(embedstore.open(sys.argv[1]).environment._env.flags())"
    flags = run_python(code, path).stdout  # in another process, for the tests here spare the time
    assert "'sync': True" in flags
    assert "'metasync': True" in flags


# A full disk


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system lays out no files")
def test_the_lock_file_has_its_blocks_before_lmdb_writes_to_it_through_its_map(path: Path) -> None:
    """To a sparse one it would write by a signal that kills, where the disk is full."""
    lock = read_current(path) / "lock.mdb"
    for _ in range(2):  # as it was made, and made anew, as in a store that was copied without it
        with embedstore.open(path) as store:
            assert len(store) == 300
        found = lock.stat()
        assert 512 * found.st_blocks >= found.st_size > 64 * 1024
        lock.unlink()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system lays out no files")
def test_a_disk_without_room_for_the_lock_file_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (read_current(path) / "lock.mdb").unlink()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        StoreError, match=r"No space left on device\); what was committed before is safe\. Free some disk"
    ):
        embedstore.open(path)
    (read_current(path) / "lock.mdb").unlink()
    monkeypatch.undo()
    with embedstore.open(path) as store:
        assert len(store) == 300
    sparse = read_current(path) / "lock.mdb"  # as earlier releases left it, with its first block
    sparse.write_bytes(sparse.read_bytes()[:4096])
    os.truncate(sparse, 72 * 1024)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with embedstore.open(path) as store:
        assert len(store) == 300
        with pytest.raises(StoreError, match="No space left on device"), store.write() as changes:
            changes.set("label", {store.ids[0]: "x"})


def test_of_two_that_make_a_store_the_slower_one_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"recipe": embedstore.Recipe().to_dict()}
    rename, described = Path.rename, {"teacher": "t", "outputs": {"embedding": 2}, "input_size": 8}

    def too_late(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        create_store(target, settings | {"image_root": "first"}, "0" * 32, described)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", too_late)
    create_store(tmp_path / "s", settings | {"image_root": "second"}, "0" * 32, described)
    with writer(tmp_path / "s") as session:
        assert session.read(lambda tables: tables.settings())["image_root"] == "first"
    assert not list(tmp_path.glob(".s.new-*"))
