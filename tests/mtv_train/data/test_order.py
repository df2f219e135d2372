"""Guards: every window once an epoch, shares within one sample, the order a pure function, bad samples replaced."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtv_train.data.errors import DatasetError
from mtv_train.data.mixture import Mixture, shares
from mtv_train.data.order import Order, StageMix, chain
from mtv_train.data.permutation import permuted
from mtv_train.data.randomness import generator, hash64, stage_seed, uniform
from mtv_train.data.samples import Slice


class Counts(dict[str, int]):
    """A dataset's windows by subset."""

    def count(self, subset: str) -> int:
        return self[subset]


WEIGHTS = st.dictionaries(
    st.sampled_from("abcde"), st.sampled_from([1, 2, 3, 0.5, 0.15, 7, 0.01]), min_size=1, max_size=5
)


@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
@settings(max_examples=40, deadline=None)
def test_a_permutation_hits_every_number_once(size: int, key: int) -> None:
    assert sorted(permuted(position, size, key) for position in range(size)) == list(range(size))


@given(size=st.integers(1, 2**50), position=st.integers(0, 2**50), key=st.integers(0, 2**64 - 1))
def test_a_permutation_of_any_size_stays_within_it(size: int, position: int, key: int) -> None:
    assert 0 <= permuted(position % size, size, key) < size


def test_a_permutation_looks_random() -> None:
    """Neighbours do not stay neighbours, and another key gives another order."""
    one, other = ([permuted(position, 10_000, key) for position in range(10_000)] for key in (1, 2))
    assert abs(np.corrcoef(one, range(10_000))[0, 1]) < 0.05
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert sum(abs(a - b) == 1 for a, b in pairwise(one)) < 20
    with pytest.raises(ValueError, match="not within"):
        permuted(10, 10, 0)


@given(weights=WEIGHTS, samples=st.integers(1, 3000))
@settings(max_examples=50, deadline=None)
def test_after_any_number_of_samples_shares_are_met_within_one(weights: dict[str, float], samples: int) -> None:
    parts = shares(weights)
    mixture = Mixture(parts)
    drawn = dict.fromkeys(parts, 0)
    for k in range(samples):
        name, before = mixture(k)
        assert before == drawn[name], "how often a subset was drawn before is told without counting"
        drawn[name] += 1
        assert all(abs(drawn[part] - share * (k + 1)) < 1 for part, share in parts.items())


@given(weights=WEIGHTS, k=st.integers(0, 10**12))
def test_the_millionth_sample_is_the_first_of_a_later_period(weights: dict[str, float], k: int) -> None:
    mixture = Mixture(shares(weights))
    name, before = mixture(k)
    turn, position = divmod(k, mixture.period)
    again, within = mixture(position)
    assert name == again
    assert before == within + turn * int(shares(weights)[name] * mixture.period)


@given(
    sizes=st.dictionaries(st.sampled_from("abc"), st.integers(1, 60), min_size=1),
    weights=st.lists(st.sampled_from([1, 2, 0.5]), min_size=3, max_size=3),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_every_window_comes_once_an_epoch(sizes: dict[str, int], weights: list[float], seed: int) -> None:
    mix = StageMix("stage", dict(zip(sizes, weights, strict=False)))
    order = Order(Counts(sizes), mix, seed)
    seen: dict[tuple[str, int], list[int]] = {}
    for k in range(8 * sum(sizes.values())):
        ref = order.item(k)
        assert ref == order.item(k)
        seen.setdefault((ref.subset, ref.epoch), []).append(ref.number)
    for (subset, epoch), numbers in seen.items():
        assert len(set(numbers)) == len(numbers), "no window twice in an epoch"
        if (subset, epoch + 1) in seen:
            assert sorted(numbers) == list(range(sizes[subset])), "and none left out of a finished one"


def test_epochs_stages_and_seeds_have_orders_of_their_own() -> None:
    def numbers(stage: str, seed: int, epoch: int) -> list[int]:
        order = Order(Counts(a=50), StageMix(stage, {"a": 1}), seed)
        return [order.item(50 * epoch + position).number for position in range(50)]

    orders = [numbers("one", 0, 0), numbers("one", 0, 1), numbers("one", 1, 0), numbers("two", 0, 0)]
    assert len({tuple(order) for order in orders}) == 4


@given(size=st.integers(2, 40), k=st.integers(0, 1000))
def test_a_bad_sample_is_replaced_by_another_of_its_subset_always_the_same(size: int, k: int) -> None:
    order = Order(Counts(a=size, b=3), StageMix("stage", {"a": 3, "b": 1}), 5)
    ref = order.item(k)
    instead = order.replacement(ref)
    assert (instead.k, instead.subset, instead.attempt) == (ref.k, ref.subset, 1)
    assert instead.number != ref.number
    assert instead == order.replacement(ref)
    assert order.replacement(instead).attempt == 2


def test_replay_is_drawn_evenly_from_the_stages_before() -> None:
    first, second, third = chain(StageMix(name, {name: 1.0}, replay=0.25) for name in "abc")
    assert first.parts() == {"a": 1}
    assert second.parts() == {"b": Fraction(3, 4), "a": Fraction(1, 4)}
    assert third.parts() == {"c": Fraction(3, 4), "a": Fraction(1, 8), "b": Fraction(1, 8)}


@pytest.mark.parametrize(
    ("weights", "said"),
    [({"a": 0}, "one of them above"), ({"a": -1, "b": 2}, "0 or more"), ({"a": 1, "b": 0.1234567}, "fewer digits")],
)
def test_weights_that_make_no_mixture_are_refused(weights: dict[str, float], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        Mixture(shares(weights))


def test_a_stage_without_a_window_is_refused_by_name() -> None:
    with pytest.raises(DatasetError, match="stage two draws from b, of which the dataset holds no window"):
        Order(Counts(a=1, b=0), StageMix("two", {"a": 1, "b": 1}), 0)


@given(share=st.integers(1, 5), world=st.integers(1, 6), start=st.integers(0, 10**9), steps=st.integers(1, 5))
def test_ranks_take_every_sample_once_and_together_whole_batches(
    share: int, world: int, start: int, steps: int
) -> None:
    batch = share * world
    slices = [Slice(batch, rank, world, start) for rank in range(world)]
    taken = [[place.k(position) for position in range(steps * share)] for place in slices]
    assert sorted(k for own in taken for k in own) == list(range(start, start + steps * batch))
    for step in range(steps):
        together = [k for own in taken for k in own[step * share : (step + 1) * share]]
        assert together == list(range(start + step * batch, start + (step + 1) * batch))


def test_randomness_is_a_function_of_seed_sample_and_purpose() -> None:
    assert uniform(1, 2, "crop x") == uniform(1, 2, "crop x")
    draws = {uniform(seed, k, purpose) for seed in (0, 1) for k in (0, 1) for purpose in ("crop x", "crop y")}
    assert len(draws) == 8
    assert hash64(0, 1) != hash64(0, "1"), "a number is not its text"
    assert stage_seed(0, "one") != stage_seed(0, "two")
    assert generator(0, 1, "vae").initial_seed() == generator(0, 1, "vae").initial_seed()
    many = [uniform(0, k, "timestep") for k in range(10_000)]
    assert abs(np.mean(many) - 0.5) < 0.01
    assert 0 <= min(many) < 0.001 < 0.999 < max(many) < 1
