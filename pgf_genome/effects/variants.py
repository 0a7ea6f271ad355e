"""Scores of variants of a sequence: the one place that asks what is scored, and by which model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import cast

import numpy as np
import torch

from pgf_genome.effects import streamed, windowed
from pgf_genome.effects.changes import Change, Tokens, change_of
from pgf_genome.effects.settings import MASKED, Scoring
from pgf_genome.effects.strand import Strand, signs_of
from pgf_genome.engine.arrays import Ids, token_ids
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.running import running_of
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import UsageError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import CausalMamba, LanguageModel

Report = Callable[[float], object]


def variant_effects(
    model: LanguageModel,
    sequence: Ids,
    variants: Iterable[tuple[int, str, str]],
    near: int | None = None,
    strand: str = "both",
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
    score: str = "likelihood",
    window: int | None = None,
) -> np.ndarray:
    """Effects of variants: log-likelihood of the changed sequence less that of the sequence.

    Parameters
    ----------
    model : CausalMamba or BidirectionalMamba
        With a bidirectional one, the pseudo-log-likelihood of a window takes the place of the
        log-likelihood of the sequence.
    sequence : LongTensor (L,) or str
        The whole sequence, as token ids or as text.
    variants : iterable of (position, ref, alt)
        0-based position of the first base of ``ref`` on the plus strand, and texts of A, C, G, T,
        of any lengths. Each is scored by itself.
    near : int, optional
        Bases that are run again, from the change on: the last changed base is the first of them.
        What follows is first-order in the state. 0 is the same as 1, because the change itself is
        always run. None is to run to the end of the sequence, which is exact, and all that there
        is for a bidirectional model.
    strand : "+", "-" or "both"
        The minus strand is the reverse complement; both are the mean of the two.
    tile_length, threads
        As for `adjoint`.
    score : "likelihood" or "masked"
        "masked" is log p(alt) - log p(ref) at the position of a substitution, which is masked; NaN
        for other variants. It needs a bidirectional model with a mask token.
    window : int, optional
        Bases that a bidirectional model sees with a variant in the middle; None is the context that
        it was trained on. A shorter sequence is one window.

    Returns
    -------
    ndarray of float64, (n,)
        In nats, in the order of the variants. No correction is made for a change of the length.

    Raises
    ------
    SequenceError
        If a ``ref`` is not what the sequence has there, or there are letters that are no bases.
    UsageError
        If an argument is out of its range, or not for this kind of model.

    Notes
    -----
    Cost of a causal model, in forward passes of one base, per strand: one per base before the last
    variant, 7 per base between the first and the last, 3 per base after it, and for each variant
    its own bases and those that are run again. Memory is that of an adjoint sweep, and two states
    for each variant that is within ``near`` bases of another.

    A bidirectional model runs two windows for each variant and strand, one if it is masked; one
    strand suffices if the model reads both.
    """
    scoring = fitted(model, Scoring(near, strand, score=score, window=window))
    tokens = Tokens.of(token_ids(model, sequence), model.vocabulary)
    return scores_of(model, scoring, tokens, variants, tile_length, threads)


def default_near(model: LanguageModel) -> int | None:
    """The bases that are run again unless it is said otherwise."""
    return Scoring.near if running_of(model).streams else None


def fitted(model: LanguageModel, scoring: Scoring) -> Scoring:
    """The scoring with what the model decides: the window of a bidirectional one.

    Raises
    ------
    UsageError
        If the scoring is not for this kind of model.
    """
    running = running_of(model)
    running.require_head("a variant is scored by predictions; choose a model with a head")
    if scoring.score == MASKED:
        if running.streams:
            raise UsageError(
                f"`score` masked is for bidirectional models; {model.name} is causal and masks no "
                "base: use `score` likelihood"
            )
        if model.vocabulary.mask_id is None:
            raise UsageError(
                f"`score` masked needs a mask token, which {model.name} has not: use `score` "
                "likelihood"
            )
    if running.streams:
        if scoring.window is not None:
            running.layout(window=scoring.window)  # which says why not
        return scoring
    windowed.refuse_near(model, scoring.near)
    return replace(scoring, window=running.layout(window=scoring.window).at_once)


def scores_of(
    model: LanguageModel,
    scoring: Scoring,
    tokens: Tokens,
    variants: Iterable[tuple[int, str, str]],
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
    report: Report = lambda share: None,
) -> np.ndarray:
    """Scores of variants of a sequence, (n,) float64, mean of the strands that are asked for.

    Parameters
    ----------
    scoring : Scoring
        As `fitted` gives it.
    report : callable
        Called with the share of the work that was done since the last call, by one thread at a
        time.
    """
    changes = [change_of(tokens, *variant) for variant in variants]
    if not changes:
        return np.zeros(0)
    # the strands of a model that reads both are the same, to rounding
    alike = model.reads_both_strands and scoring.strand == "both"
    signs = ("+",) if alike else signs_of(scoring.strand)
    lock = Lock()

    def shared(share: float) -> None:
        with lock:
            report(share / len(signs))

    def of_strand(sign: str) -> np.ndarray:
        if sign == "+":
            return of_changes(tokens, changes, shared)
        paired = model.vocabulary.complement
        mirrored = [change.on_minus_strand(tokens.length, paired) for change in changes]
        return of_changes(tokens.reverse(), mirrored, shared)

    of_changes = _way(model, scoring, tile_length)
    return np.mean(side_by_side(of_strand, signs, threads), axis=0)


def _way(
    model: LanguageModel, scoring: Scoring, tile_length: int
) -> Callable[[Tokens, Sequence[Change], Report], np.ndarray]:
    """How the scores of changes are computed on one strand."""
    if scoring.window is None:
        return partial(_streamed, cast(CausalMamba, model), scoring.near, tile_length)
    bidirectional = cast(BidirectionalMamba, model)
    if scoring.score == MASKED:
        mask = cast(int, model.vocabulary.mask_id)
        return partial(windowed.masked_scores, bidirectional, mask, scoring.window)
    return partial(windowed.effects_of, bidirectional, windowed.BASES, scoring.window)


def _streamed(
    model: CausalMamba,
    near: int | None,
    tile_length: int,
    tokens: Tokens,
    changes: Sequence[Change],
    report: Report,
) -> np.ndarray:
    def read(start: int, stop: int) -> torch.Tensor:
        return model.one_hot(tokens.read(start, stop)[None])

    strand = Strand(model, read, tokens.length, Likelihood())
    plan = Plan(tokens.length, tile_length)
    return streamed.effects_of(strand, plan, changes, near, report=report)
