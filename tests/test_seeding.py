import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.seeding import generator, order, seed_all, seed_of

WORDS = st.integers(0, 2**31 - 1)
POSITIONS = st.lists(WORDS, max_size=3).map(tuple)


@given(st.integers(0, 2**63 - 1), st.text(max_size=8), POSITIONS)
def test_a_seed_depends_on_its_position_alone_and_fits_torch(seed, phase, position):
    found = seed_of(seed, phase, *position)
    assert found == seed_of(seed, phase, *position)
    assert 0 <= found < 2**63
    torch.Generator().manual_seed(found)


def test_no_two_positions_of_a_run_share_a_seed():
    phases = ("train", "finetune")
    batches = itertools.product(range(2), phases, range(4), range(4), range(8))
    epochs = itertools.product(range(2), phases, range(4), range(4))
    seeds = [seed_of(*position) for position in itertools.chain(batches, epochs)]
    assert len(set(seeds)) == len(seeds)


@given(st.integers(1, 200), WORDS, WORDS)
def test_the_order_of_an_epoch_is_a_permutation_that_its_position_decides(count, seed, epoch):
    first = order(count, seed, "train", 0, epoch)
    assert sorted(first.tolist()) == list(range(count))
    torch.rand(3)
    assert torch.equal(first, order(count, seed, "train", 0, epoch))


def test_epochs_differ_in_order():
    orders = [tuple(order(50, 0, "train", 0, epoch).tolist()) for epoch in range(20)]
    assert len(set(orders)) == 20


def test_seeding_restarts_the_global_generator():
    seed_all(1, "train", 0, 0, 7)
    first = torch.rand(4)
    torch.rand(100)
    seed_all(1, "train", 0, 0, 7)
    assert torch.equal(first, torch.rand(4))


def test_seeding_is_that_of_torch():
    seed_all(1, "train", 0, 0, 7)
    first = torch.rand(4)
    torch.manual_seed(seed_of(1, "train", 0, 0, 7))
    assert torch.equal(first, torch.rand(4))


def test_a_generator_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    torch.rand(5, generator=generator(0, "prune", 1))
    assert torch.equal(state, torch.get_rng_state())
