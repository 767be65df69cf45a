"""What is proposed for sets of twins, from sets made by hand, and against connected components."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from helpers import unit_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.analysis.twin_groups import Proposal, propose, remarks_on
from embedstore.images import Sample

Sets = list[list[int]]


def samples_of(groups: str) -> list[Sample]:
    """Return a sample for each letter, its group; a dot has none."""
    return [
        Sample(f"{number:02d}", f"{number:02d}", group=None if one == "." else one) for number, one in enumerate(groups)
    ]


def proposed(groups: str, found: Sets) -> Proposal:
    return propose(samples_of(groups), found, unit_vectors(0, len(groups)).astype(np.float32))


def test_groups_that_meet_go_into_the_largest_and_sets_that_share_one_make_one() -> None:
    proposal = proposed("AAABBBBBCDEFF", [[0, 3], [4, 8], [9, 10], [11, 12]])
    assert proposal.merged == {"A": "B", "C": "B", "E": "D"}
    assert proposal.conflicts == [["A", "B"], ["B", "C"], ["D", "E"]]
    assert proposal.groups == {}


def test_what_would_be_united_is_told_with_the_largest_and_all_its_pictures() -> None:
    """Six pictures have group A, B or C; one without a group joins them; three are in no set of several groups."""
    samples, found = samples_of("ABBCAB.DEFFF"), [[0, 1], [2, 3, 6], [7, 8], [9, 10]]
    proposal = propose(samples, found, unit_vectors(0, 12).astype(np.float32))
    assert remarks_on(samples, found, proposal) == [
        "3 sets hold pictures of several groups that are there already, such as 'A' and 'B'. United, 5 groups would be 2, "
        "the largest with 7 pictures of 3 groups ('B')."
    ]


def test_a_group_may_be_called_none() -> None:
    samples = [Sample(str(at), str(at), group=group) for at, group in enumerate(["None", "A", "A", None, None, None])]
    proposal = propose(samples, [[0, 1]], unit_vectors(0, 6).astype(np.float32))
    assert proposal.merged == {"None": "A"}
    assert remarks_on(samples, [[0, 1]], proposal)[0].endswith("the largest with 3 pictures of 2 groups ('A').")


def test_a_long_chain_of_sets_is_one_group() -> None:
    length = 3_000
    samples = [Sample(f"{at:05d}", "", group=f"{at:05d}") for at in range(length)]
    proposal = propose(samples, [[at, at + 1] for at in range(length - 1)], np.ones((length, 1), np.float32))
    assert set(proposal.merged.values()) == {"00000"}
    assert len(proposal.merged) == length - 1


@settings(max_examples=200)
@given(
    groups=st.text("ABCDEFG.", min_size=12, max_size=30),
    order=st.randoms(use_true_random=False),
    sizes=st.lists(st.integers(2, 4), max_size=6),
)
def test_united_groups_are_what_hangs_together_by_sets_and_groups(
    groups: str, order: np.random.Generator, sizes: list[int]
) -> None:
    places = list(range(len(groups)))
    order.shuffle(places)
    ends = np.cumsum([0, *sizes])
    found = [sorted(places[a:b]) for a, b in pairwise(ends) if b <= len(places)]
    samples = samples_of(groups)
    proposal = proposed(groups, found)
    names = [proposal.groups.get(sample.id, sample.group) for sample in samples]
    after = [proposal.merged.get(name, name) if name is not None else None for name in names]

    links = scipy.sparse.lil_matrix((len(groups), len(groups)))
    for members in [*found, *([at for at in places if groups[at] == one] for one in set(groups) - {"."})]:
        links[members[0], members] = 1
    _, part = scipy.sparse.csgraph.connected_components(links, directed=False)
    bound = {at for members in found for at in members} | {at for at in places if groups[at] != "."}
    for a in places:
        assert (after[a] is None) == (a not in bound)
        for b in bound - {a}:
            assert (after[a] == after[b]) == (part[a] == part[b])
    assert not proposal.merged.keys() & set(proposal.merged.values())
    assert proposal.merged.keys() | set(proposal.merged.values()) <= set(groups) - {"."}
    again = propose(
        [Sample(s.id, s.uri, group=name) for s, name in zip(samples, after, strict=True)],
        found,
        unit_vectors(0, len(groups)).astype(np.float32),
    )
    assert again == Proposal({}, {}, [])


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_sets_does_not_matter(seed: int) -> None:
    found = [[0, 3], [4, 8], [9, 10], [2, 12], [5, 7]]
    shuffled = [found[at] for at in np.random.default_rng(seed).permutation(len(found))]
    assert proposed("AAABBCCCDDEFF", shuffled).merged == proposed("AAABBCCCDDEFF", found).merged
