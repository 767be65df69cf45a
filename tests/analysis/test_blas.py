"""The number of BLAS threads: one each while inside, and given back by the last one out."""

from collections.abc import Iterator

import pytest

from embedstore.analysis import blas
from embedstore.analysis.blas import blas_threads, one_thread_each


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with blas._libraries().limit(limits=2):
        yield


def counts() -> set[int]:
    return {library.num_threads for library in blas._libraries().lib_controllers}


def test_each_has_one_thread_while_inside_and_what_it_had_afterwards() -> None:
    assert (counts(), blas_threads()) == ({2}, 2)
    with one_thread_each():
        assert (counts(), blas_threads()) == ({1}, 2)
    assert (counts(), blas_threads()) == ({2}, 2)
    with pytest.raises(ZeroDivisionError), one_thread_each():
        _ = 1 / 0
    assert (counts(), blas_threads()) == ({2}, 2)


def test_the_last_of_several_gives_the_setting_back() -> None:
    first, second = one_thread_each(), one_thread_each()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (counts(), blas_threads()) == ({1}, 2)
    second.__exit__(None, None, None)
    assert counts() == {2}
