"""Divides recordings among the parts of a split, so that the parts have nearly the wanted sizes.

Pure arithmetic on sizes: it knows neither files nor folders.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PARTS: Final = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Ratios:
    """How much of each class goes where, and which of the equally good divisions is taken."""

    train: float
    #: None: everything that is not for training is for validation.
    val: float | None
    seed: int

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each part, in the order of ``PARTS``."""
        if self.val is None:
            return (self.train, 1 - self.train)
        return (self.train, self.val, 1 - self.train - self.val)

    def parts_of(self, class_name: str, sizes: Mapping[str, int]) -> dict[str, str]:
        """Give each recording of a class its part; ``sizes`` is as in ``divide``."""
        parts = divide(sizes, self.shares, f"{self.seed}/{class_name}")
        return {recording: part for part, group in zip(PARTS, parts, strict=False) for recording in group}

    def empty_parts(self, part_of: Mapping[str, str]) -> list[str]:
        """Name the parts that no recording was given to."""
        return [part for part, _ in zip(PARTS, self.shares, strict=False) if part not in part_of.values()]


def count_images(parts: Iterable[str]) -> dict[str, int]:
    """Count pictures, each given by its part, under the names that stats have for them."""
    counts = Counter(parts)
    return {f"{field}_images": counts[part] for field, part in zip(("train", "val", "test"), PARTS, strict=True)}


def divide(sizes: Mapping[str, int], ratios: Sequence[float], seed: str) -> list[list[str]]:
    """Divide groups among parts in the given ratios, as near as whole groups allow.

    The first part is never empty, and where there are as many groups as parts, none is. The result depends on the seed
    and the sizes, not on the order of the mapping.

    Args:
        sizes: Number of files of each group, all above 0.
        ratios: The wanted share of each part; they add up to 1.
        seed: Picks one of the equally good divisions.

    Returns:
        The names of each part's groups, sorted.
    """
    remaining = sorted(sizes)
    # As bytes, which give the same as the text: the name of a class may be no UTF-8.
    random.Random(seed.encode("utf-8", "surrogateescape")).shuffle(remaining)  # noqa: S311 - a choice of files, not a secret
    total = sum(sizes.values())
    parts: list[list[str]] = []
    for number, ratio in enumerate(ratios[:-1]):
        later_parts = len(ratios) - number - 1
        chosen = _nearest(remaining, sizes, target=total * ratio, spare=later_parts) if remaining else set()
        parts.append(sorted(chosen))
        remaining = [name for name in remaining if name not in chosen]
    return [*parts, sorted(remaining)]


def _nearest(names: Sequence[str], sizes: Mapping[str, int], *, target: float, spare: int) -> set[str]:
    """Choose at least one group so that the sum is nearest to ``target``, and leave ``spare`` groups where there are enough.

    Of two sums equally near the larger is taken.
    """
    first_reached_by = _reachable(names, sizes)
    most = max(1, len(names) - spare)
    nearest_first = sorted(first_reached_by, key=lambda total: (abs(total - target), -total))
    candidates = (_trace(first_reached_by, sizes, total) for total in nearest_first)
    # One is always small enough: the size of the group whose turn is first is reached by that group alone.
    return next(chosen for chosen in candidates if len(chosen) <= most)


def _reachable(names: Sequence[str], sizes: Mapping[str, int]) -> dict[int, str]:
    """Map each sum that some of the groups add up to to the group whose turn first reached it.

    Bit n of ``sums`` says that n is reachable, so that a group's turn is one shift; each new sum is looked at once.
    """
    sums, first_reached_by = 1, {}
    for name in names:
        new = (sums << sizes[name]) & ~sums
        sums |= new
        while new:
            lowest = new & -new
            first_reached_by[lowest.bit_length() - 1] = name
            new ^= lowest
    return first_reached_by


def _trace(first_reached_by: Mapping[int, str], sizes: Mapping[str, int], total: int) -> set[str]:
    """List the groups that add up to ``total``: what remains without the last of them was reached before its turn."""
    chosen = set()
    while total:
        name = first_reached_by[total]
        chosen.add(name)
        total -= sizes[name]
    return chosen
