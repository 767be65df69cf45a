"""Names of kept summaries: there and back, and what only looks like one."""

import pytest

from embedstore.summaries.names import kept_name, split_name


@pytest.mark.parametrize("version", [0, 1, 10, 2**63])
@pytest.mark.parametrize("name", ["class-mean", "平均.1", "two\nlines"])
def test_a_kept_name_is_split_into_what_it_was_made_of(name: str, version: int) -> None:
    assert kept_name(name, version) == f"{name}@{version}"
    assert split_name(kept_name(name, version)) == (name, version)


@pytest.mark.parametrize("name", ["class-mean", "a@", "@1", "a@b", "a@1b", "a@-1", "a@²", "a@٣", "a@01", "a@1\n", ""])
def test_every_other_name_is_one_itself(name: str) -> None:
    assert split_name(name) == (name, None)
