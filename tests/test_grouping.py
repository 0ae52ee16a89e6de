"""Layers of packages: bounded, told by names and sizes alone, and still when a lock changes."""

import random
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from cdaf.images import grouping

SIZES = st.one_of(st.integers(0, 100_000), st.integers(0, 4_000_000), st.integers(1_500_000, 300_000_000))
LOCKS = st.dictionaries(st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True), SIZES, max_size=60)


def placed(sizes: Mapping[str, int]) -> dict[str, str]:
    """The layer of each package."""
    return {name: layer for layer, names in grouping.group(sizes).items() for name in names}


def alone(sizes: Mapping[str, int]) -> list[str]:
    return [names[0] for layer, names in grouping.group(sizes).items() if layer.startswith("package ")]


@given(LOCKS)
def test_every_package_is_in_one_of_ten_layers(sizes: dict[str, int]) -> None:
    groups = grouping.group(sizes)
    assert sorted(name for names in groups.values() for name in names) == sorted(sizes)
    assert len(groups) <= grouping.MOST == 10
    assert all(groups.values())


@given(LOCKS, st.randoms(use_true_random=False))
def test_the_order_of_a_lock_is_of_no_matter(sizes: dict[str, int], chance: random.Random) -> None:
    names = list(sizes)
    chance.shuffle(names)
    assert list(grouping.group({name: sizes[name] for name in names}).items()) == list(grouping.group(sizes).items())


@given(LOCKS, st.data())
def test_what_leaves_moves_nothing_but_the_next_in_size(sizes: dict[str, int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(sizes) or [""]))
    before, after = placed(sizes), placed({name: size for name, size in sizes.items() if name != gone})
    moved = {name for name in after if before[name] != after[name]}
    if gone in alone(sizes):
        assert len(moved) <= 1
        assert all(after[name] == f"package {name}" for name in moved)
    else:
        assert not moved


@given(LOCKS, st.text("abc", min_size=1, max_size=3), SIZES)
def test_what_comes_moves_nothing_but_the_last_of_those_alone(sizes: dict[str, int], name: str, size: int) -> None:
    sizes.pop(name, None)
    before, after = placed(sizes), placed({**sizes, name: size})
    moved = {each for each in before if before[each] != after[each]}
    assert len(moved) <= 1
    assert moved <= set(alone(sizes)[-1:])
    assert not moved or after[name] == f"package {name}"


@given(LOCKS, st.data(), SIZES)
def test_another_version_moves_itself_and_one_other_at_most(
    sizes: dict[str, int], data: st.DataObject, size: int
) -> None:
    name = data.draw(st.sampled_from(sorted(sizes) or ["x"]))
    sizes.setdefault(name, 1)
    before, after = placed(sizes), placed({**sizes, name: size})
    moved = {each for each in before if before[each] != after[each]} - {name}
    assert len(moved) <= 1
    own = f"package {name}"
    assert not moved or (before[name] == own) != (after[name] == own)


@given(LOCKS, st.data())
def test_a_version_of_about_the_same_size_stays_where_it_is(sizes: dict[str, int], data: st.DataObject) -> None:
    """Within a step, which is at most a quarter: of the sizes there, only the classes' bounds can be crossed."""
    name = data.draw(st.sampled_from(sorted(sizes) or ["x"]))
    size = sizes.setdefault(name, 2_000_001)
    shift = max(0, size.bit_length() - 3)
    other = min(size | ((1 << shift) - 1), size + 1_000_000)
    if not any(size < bound <= other for bound in (64_000, 200_000, 600_000, 2_000_000)):
        assert placed(sizes) == placed({**sizes, name: other})


def test_the_largest_stand_alone_and_the_small_ones_last() -> None:
    sizes = {"a": 90_000_000, "b": 40_000_000, "c": 14_000_000, "d": 2_000_000, "e": 700_000, "f": 64_000, "g": 63_999}
    assert list(grouping.group(sizes)) == [
        "package a",
        "package b",
        "package c",
        next(each for each in grouping.group(sizes) if each.startswith("packages from 2 MB on")),
        "packages under 2 MB",
        "packages under 200 kB",
        "packages under 64 kB",
    ]


def test_two_of_one_size_do_not_trade_places() -> None:
    others = {"a": 90_000_000, "b": 40_000_000}
    for one, two in ((14_100_000, 14_000_000), (14_000_000, 14_100_000)):
        assert alone({**others, "x": one, "y": two}) == ["a", "b", "x"]
