from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import assert_within, random_ids, random_like

from pgf_genome.engine.arrays import adjoint, log_probs
from pgf_genome.engine.objective import Entropy, Likelihood, Logit, SquaredNorm, Tile
from pgf_genome.errors import UsageError

LENGTH, TILE, STEP = 6, 4, 1e-5
SPANS = ((0, 2), (3, 5))


def curved(tile):
    """Something no class here computes, from all that a tile shows."""
    place = 1 + tile.start + torch.arange(len(tile.x))
    known = tile.x.square() * tile.log_p.sin() + tile.logits[:, :1].tanh()
    return (place * known.sum(dim=1)).sum() + (place * tile.hidden.pow(3).sum(dim=1)).sum()


OBJECTIVES = [
    Likelihood(),
    Likelihood(window=(1, 4)),
    Likelihood(positions=SPANS),
    Entropy(),
    Entropy(positions=SPANS),
    Logit(row=3),
    Logit(row=1, positions=SPANS),
    SquaredNorm(),
    SquaredNorm(positions=SPANS),
    curved,
]
SPANNING = [Likelihood, lambda **spans: Likelihood("fixed", **spans), Entropy, Logit, SquaredNorm]


def sharp(model):
    return model.one_hot(torch.tensor([2, 1, 5, 4, 3, 2]))


def soft(model):
    (noise,) = random_like([torch.empty(LENGTH, 7, dtype=torch.float64)])
    return sharp(model) * 0.5 + noise.softmax(dim=1) * 0.5


def values(model, inputs, objective):
    """F of every input of a batch (n, L, V), without tiles: a model call and the definition."""
    blank = model.initial_state(len(inputs))
    hidden, _ = model.hidden(inputs, blank)
    logits = model.logits(hidden)
    log_p = torch.cat([blank.log_probs[:, None], logits.log_softmax(dim=-1)[:, :-1]], dim=1)
    parts = zip(inputs, log_p, logits, hidden, strict=True)
    return torch.stack([objective(Tile(0, *p, model.vocabulary.base_ids)) for p in parts])


def central_differences(model, x, objective):
    """dF / dX entry by entry."""
    steps = STEP * torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
    ahead, behind = values(model, torch.cat([x + steps, x - steps]), objective).chunk(2)
    return ((ahead - behind) / (2 * STEP)).reshape(x.shape)


@pytest.mark.parametrize("at", [sharp, soft])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda f: getattr(f, "__name__", str(f)))
def test_the_gradient_is_the_limit_of_differences(tiny_model, objective, at):
    x = at(tiny_model)
    found = adjoint(tiny_model, x, objective, TILE)
    assert_within(1e-13, found.value, values(tiny_model, x[None], objective)[0])
    assert_within(1e-6, found.gradient, central_differences(tiny_model, x, objective))


@pytest.mark.parametrize("at", [sharp, soft])
@pytest.mark.parametrize("options", [{}, {"window": (1, 4)}, {"positions": SPANS}], ids=str)
def test_fixed_targets_are_constants(tiny_model, options, at):
    x = at(tiny_model)
    objective = Likelihood("fixed", **options)

    def constant(tile):
        targets = x[tile.start : tile.start + len(tile.x)]
        weights = objective.weights(tile.x, tile.start)
        return (targets * tile.log_p * weights[:, None]).sum()

    found = adjoint(tiny_model, x, objective, TILE)
    assert_within(1e-13, found.value, values(tiny_model, x[None], constant)[0])
    assert_within(1e-6, found.gradient, central_differences(tiny_model, x, constant))
    assert (found.gradient[-1] == 0).all()


def predictions(model, ids):
    """Row t is log p(. | before t), of the bases t = 1, 2, ..; row 0 is None's zeros."""
    return np.concatenate([np.zeros((1, 7)), log_probs(model, ids)[:-1]])


def test_the_likelihood_counts_predicted_bases_and_no_other_token(tiny_model):
    ids = random_ids(40)
    rows = predictions(tiny_model, ids)[np.arange(40), ids]
    bases = np.isin(ids, tiny_model.vocabulary.base_ids)
    assert 0 < bases.sum() < 40
    assert_within(1e-13, adjoint(tiny_model, ids, Likelihood(), 16).value, rows[bases].sum())
    assert_within(1e-13, adjoint(tiny_model, ids, None, 16).value, rows[bases].sum())
    fixed = adjoint(tiny_model, ids, Likelihood("fixed"), 16).value
    assert_within(1e-13, fixed, rows.sum())
    window = adjoint(tiny_model, ids, Likelihood("fixed", window=(9, 30)), 16).value
    assert_within(1e-13, window, rows[10:31].sum())
    spans = adjoint(tiny_model, ids, Likelihood("fixed", positions=((3, 5), (30, 40))), 16).value
    assert_within(1e-13, spans, rows[3:5].sum() + rows[30:].sum())


def test_the_entropy_is_that_of_the_predictions(tiny_model):
    ids = random_ids(40)
    rows = predictions(tiny_model, ids)
    entropies = -(np.exp(rows) * rows).sum(axis=1)
    assert_within(1e-13, adjoint(tiny_model, ids, Entropy(), 16).value, entropies.sum())
    some = adjoint(tiny_model, ids, Entropy(positions=((0, 20),)), 16).value
    assert_within(1e-13, some, entropies[:20].sum())


def test_logit_and_norm_are_those_of_the_last_layer(tiny_model):
    ids = random_ids(40)
    x, blank = tiny_model.one_hot(ids[None]), tiny_model.initial_state(1)
    hidden, _ = tiny_model.hidden(x, blank)
    logits, squares = tiny_model.logits(hidden)[0], hidden[0].square().sum(dim=1)
    logit = adjoint(tiny_model, ids, Logit(row=2, positions=((15, 18),)), 16).value
    assert_within(1e-13, logit, logits[14:17, 2].sum())
    assert_within(1e-13, adjoint(tiny_model, ids, Logit(row=2), 16).value, logits[:, 2].sum())
    assert_within(1e-13, adjoint(tiny_model, ids, SquaredNorm(), 16).value, squares.sum())
    some = adjoint(tiny_model, ids, SquaredNorm(positions=((15, 18),)), 16).value
    assert_within(1e-13, some, squares[15:18].sum())


@st.composite
def lengths_and_spans(draw):
    length = draw(st.integers(1, 50))
    bounds = st.integers(0, length + 5)  # spans may reach past the end
    spans = draw(st.lists(st.tuples(bounds, bounds).map(sorted).map(tuple), max_size=4))
    return length, tuple(spans)


@given(lengths_and_spans(), st.integers(1, 60))
def test_positions_mean_the_same_in_every_tiling(length_and_spans, tile):
    length, spans = length_and_spans
    objective = Entropy(positions=spans)
    expected = [float(any(a <= t < b for a, b in spans)) for t in range(length)]
    like = torch.empty(length)
    tiled = [objective.weights(like[s : s + tile], s) for s in range(0, length, tile)]
    assert torch.cat(tiled).tolist() == expected


@given(lengths_and_spans())
def test_the_minus_strand_sees_the_mirrored_positions(length_and_spans):
    length, spans = length_and_spans
    for make in SPANNING:
        objective = make(positions=spans)
        mirrored = objective.on_minus_strand(length)
        like = torch.empty(length)
        assert torch.equal(mirrored.weights(like, 0), objective.weights(like, 0).flip(0))
        again = mirrored.on_minus_strand(length)
        assert torch.equal(again.weights(like, 0), objective.weights(like, 0))
        assert make().on_minus_strand(length) == make()


def test_what_is_not_a_position_survives_the_minus_strand():
    assert Logit(row=5, positions=((0, 2),)).on_minus_strand(9) == Logit(row=5, positions=((7, 9),))
    mirrored = Likelihood("fixed", window=(1, 4)).on_minus_strand(10)
    assert mirrored == Likelihood("fixed", positions=((5, 8),))


@given(
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=12),
    start=st.integers(0, 35),
    length=st.integers(1, 12),
)
def test_spans_in_any_order_count_every_position_in_one_of_them_once(spans, start, length):
    positions = tuple((first, first + size) for first, size in spans)
    counted = {t for first, last in positions for t in range(first, last)}
    objective = Entropy(positions=positions)
    weights = objective.weights(torch.empty(length), start)
    assert weights.tolist() == [float(t in counted) for t in range(start, start + length)]
    edges = [edge for span in objective.positions for edge in span]
    assert edges == sorted(set(edges))


def test_a_window_is_the_positions_after_it():
    assert Likelihood(window=(1, 4)) == Likelihood(positions=((2, 5),))


@pytest.mark.parametrize("span", [(-1, 2), (3, 2)])
def test_a_reversed_or_negative_span_is_refused(span):
    for make in SPANNING:
        with pytest.raises(UsageError, match=rf"positions {span[0]}\.\.{span[1]} are not a span"):
            make(positions=((0, 5), span))


def test_contradictory_options_are_refused():
    with pytest.raises(UsageError, match="either window or positions"):
        Likelihood(window=(0, 1), positions=((0, 1),))
    with pytest.raises(UsageError, match="must be 'input' or 'fixed', not 'soft'"):
        Likelihood(targets="soft")
