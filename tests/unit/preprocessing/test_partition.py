"""Recordings are divided as near to the ratios as whole recordings allow."""

import os
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.preprocessing.partition import Ratios, divide

groups = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 40), min_size=1, max_size=9)
two = st.floats(0.1, 0.9).map(lambda ratio: (ratio, 1 - ratio))
three = st.tuples(st.floats(0.1, 0.6), st.floats(0.05, 0.35)).map(lambda pair: (*pair, 1 - sum(pair)))


@given(groups, st.one_of(two, three), st.text(max_size=4))
def test_every_recording_is_in_exactly_one_part(sizes, ratios, seed):
    parts = divide(sizes, ratios, seed)
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    assert len(parts) == len(ratios)


@given(groups, st.one_of(two, three), st.text(max_size=4))
def test_train_is_never_empty_and_no_part_is_where_there_are_enough_recordings(sizes, ratios, seed):
    parts = divide(sizes, ratios, seed)
    assert parts[0]
    if len(sizes) >= len(ratios):
        assert all(parts)


@given(groups.filter(lambda sizes: len(sizes) > 1), two)
def test_of_all_divisions_in_two_none_is_nearer_to_the_ratio(sizes, ratios):
    target = sum(sizes.values()) * ratios[0]
    sums = {
        sum(size for size, taken in zip(sizes.values(), choice, strict=True) if taken)
        for choice in product((0, 1), repeat=len(sizes))
    }
    nearest = min(abs(total - target) for total in sums - {0, sum(sizes.values())})
    assert abs(sum(sizes[name] for name in divide(sizes, ratios, "s")[0]) - target) == pytest.approx(nearest)


@given(groups, three, st.text(max_size=4), st.randoms())
def test_the_order_of_the_recordings_does_not_matter(sizes, ratios, seed, rng):
    shuffled = list(sizes.items())
    rng.shuffle(shuffled)
    assert divide(dict(shuffled), ratios, seed) == divide(sizes, ratios, seed)


def test_another_seed_gives_another_division():
    sizes = {str(number): 1 for number in range(30)}
    assert len({tuple(divide(sizes, (0.5, 0.5), str(seed))[0]) for seed in range(5)}) == 5


def test_the_name_of_a_class_may_be_no_text():
    parts = Ratios(0.5, None, seed=0).parts_of(os.fsdecode(b"a\xff"), {"one": 1, "other": 1})
    assert sorted(parts.values()) == ["train", "valid"]
