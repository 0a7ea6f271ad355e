"""Single-nucleotide substitutions in genes: their kind, and their exact effect on likelihood."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, cast

import numpy as np
import torch
from torch import Tensor

from pgf_genome.engine import sweep
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.engine.threads import side_by_side
from pgf_genome.experiments.genes import PLACES, Gene, code_of
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.sequence import N_CODE, complement, reverse_complement

SYNONYMOUS, MISSENSE, STOP_GAINED, STOP_LOST, START_LOST = range(5)
KINDS = ("synonymous", "missense", "stop-gained", "stop-lost", "start-lost")
# The effect is also given within these numbers of bases, from the substituted one on.
WITHIN = (1, 4, 16, 64)
# Positions that mutants run between two checks of whether any effect is left.
STEP = 256
# Mutants that run side by side.
BATCH = 64


@dataclass(frozen=True, eq=False)
class Snvs:
    """A set of n substitutions.

    Attributes
    ----------
    position : ndarray of int64, (n,)
        Positions, 0-based on the plus strand of the sequence.
    alt : ndarray of uint8, (n,)
        Code of the new base, on the plus strand.
    kind : ndarray of int64, (n,)
        Index into `KINDS`.
    gene : ndarray of int64, (n,)
        Index of the gene.
    """

    position: np.ndarray
    alt: np.ndarray
    kind: np.ndarray
    gene: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def at(self, chosen: np.ndarray) -> Self:
        """Select by an index or mask."""
        return type(self)(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join several sets."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def substitutions(gene: Gene, codes: np.ndarray, index: int = 0) -> Snvs:
    """List every substitution in a whole gene, three per base, in the order of its positions.

    A start codon that becomes another start codon of the table, and a stop codon that becomes
    another one, are synonymous.

    Parameters
    ----------
    gene : Gene
    codes : ndarray of uint8, (L,)
        Codes of the contig, or of the stretch that the gene's positions refer to.
    index : int
        Index of the gene in the result.
    """
    bases, code = gene.bases(codes).astype(np.int64), code_of(gene.table)
    codon = np.repeat(bases.reshape(-1, 3) @ PLACES, 3)  # of every base
    alt = (bases[:, None] + np.arange(1, 4)) % 4  # (n, 3)
    place = np.tile(PLACES, len(bases) // 3)
    mutant = codon[:, None] + (alt - bases[:, None]) * place[:, None]
    before, after = code.amino[codon][:, None], code.amino[mutant]
    kind = np.where(before == after, SYNONYMOUS, MISSENSE)
    kind[(before != "*") & (after == "*")] = STOP_GAINED
    kind[(before == "*") & (after != "*")] = STOP_LOST
    kind[:3] = np.where(code.start[mutant[:3]], SYNONYMOUS, START_LOST)
    on_plus = alt.astype(np.uint8) if gene.strand == "+" else complement(alt.astype(np.uint8))
    return Snvs(
        np.repeat(gene.positions, 3).astype(np.int64),
        on_plus.ravel(),
        kind.ravel(),
        np.full(kind.size, index),
    )


class Effects(NamedTuple):
    """Change of F by substitutions, mean of the two strands, in nats.

    Attributes
    ----------
    total : ndarray, (n,)
    within : ndarray, (n, len(WITHIN))
        Change within the first bases alone, the substituted one included. The first column is the
        log-odds log p(alt) - log p(ref), the target term.
    left : ndarray, (n,)
        Change that the last `STEP` bases of the run added.
    """

    total: np.ndarray
    within: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class Reach:
    """Limits on how far mutants are run.

    Attributes
    ----------
    horizon : int
        Largest number of bases to run after a substitution.
    tolerance : float
        A batch stops when the last `STEP` bases added less than this, in nats (root mean square).
    """

    horizon: int = 4096
    tolerance: float = 0.01


def exact_effects(
    model: CausalMamba, codes: np.ndarray, snvs: Snvs, settings: Reach | None = None
) -> Effects:
    """Compute F of every mutant less F of the sequence, the mean log-likelihood of its strands.

    Everything before a substitution is common to both. So one primal sweep per strand stores the
    state before each substitution, and mutants continue from there, many at a time.

    Parameters
    ----------
    model : CausalMamba
    codes : ndarray of uint8, (L,)
        The sequence; on each strand the model starts from its blank state.
    snvs : Snvs
    settings : Reach, optional

    Notes
    -----
    Time is that of two primal sweeps, and of 2 n runs of as many bases as `Reach` lets mutants run.
    Memory is `BATCH` states and tiles, and 8 bytes per base. Disk holds a state per substitution.
    """
    last = len(codes) - 1
    strands = (
        _Strand(codes, snvs.position, snvs.alt),
        _Strand(reverse_complement(codes), last - snvs.position, complement(snvs.alt)),
    )
    run = partial(_on_strand, model, settings or Reach())
    both = side_by_side(run, strands)
    return Effects(*(np.mean(pair, axis=0) for pair in zip(*both, strict=True)))


class _Strand(NamedTuple):
    codes: np.ndarray  # (L,)
    position: np.ndarray  # (n,)
    alt: np.ndarray  # (n,)


def _on_strand(model: CausalMamba, settings: Reach, strand: _Strand) -> Effects:
    order = np.argsort(strand.position, kind="stable")
    sorted_ = strand._replace(position=strand.position[order], alt=strand.alt[order])
    blank = model.initial_state(1)
    batches = []
    with (
        tempfile.TemporaryDirectory(prefix="pgf-") as scratch,
        RecordFile(Path(scratch) / "states", nbytes(blank.tensors()), "mutations") as states,
    ):
        log_p = _reference(model, sorted_, states)
        for first in range(0, len(order), BATCH):
            chosen = slice(first, first + BATCH)
            part = sorted_._replace(position=sorted_.position[chosen], alt=sorted_.alt[chosen])
            stored = range(first, first + len(part.position))
            before = State.joined(
                [blank.filled(states.require(k, blank.tensors())) for k in stored]
            )
            batches.append(_batch(model, settings, part, log_p, before))
    back = np.argsort(order)
    return Effects(*(np.concatenate(parts)[back] for parts in zip(*batches, strict=True)))


@torch.no_grad()
def _reference(model: CausalMamba, strand: _Strand, states: RecordFile) -> np.ndarray:
    """Store the state before every substitution; return log p of every base (L,), zero for N."""
    state, at, log_p = model.initial_state(1), 0, np.zeros(len(strand.codes))
    for slot, stop in enumerate([*strand.position.tolist(), len(strand.codes)]):
        for start in range(at, stop, TILE_LENGTH):
            tile = strand.codes[start : min(start + TILE_LENGTH, stop)]
            log_probs, after = model(_one_hot(model, tile[None]), state)
            ahead = torch.cat([_next(state), log_probs[:, :-1]], dim=1)
            log_p[start : start + len(tile)] = _observed_log_p(model, ahead, tile[None])[0]
            state = after
        at = stop
        if slot < len(strand.position):
            states.write(slot, state.tensors())
    return log_p


def _batch(
    model: CausalMamba, settings: Reach, strand: _Strand, log_p: np.ndarray, before: State
) -> Effects:
    """Run mutants from the states before them until further changes are negligible."""
    length = max(min(settings.horizon, len(log_p) - int(strand.position.min())), 1)
    mutants, reference = _from_each(strand, log_p, length + 1)
    odds = _observed_log_p(model, _next(before), mutants[:, :1]) - reference[:, :1]
    added, total = [odds], odds.sum(axis=1)
    for change, left in _changes(model, mutants, reference, before, length):
        added.append(change)
        total = total + left
        if np.sqrt(np.mean(np.square(left))) < settings.tolerance:
            break
    along = np.concatenate(added, axis=1).cumsum(axis=1)
    within = along[:, [min(n, along.shape[1]) - 1 for n in WITHIN]]
    return Effects(total, within, left)


def _from_each(strand: _Strand, log_p: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mutant codes and reference log p from every substitution on, (n, length); N past the end."""
    at = strand.position[:, None] + np.arange(length)
    inside = at < len(log_p)
    at = np.where(inside, at, 0)
    mutants = np.where(inside, strand.codes[at], N_CODE)
    mutants[:, 0] = strand.alt
    return mutants, np.where(inside, log_p[at], 0.0)


def _changes(
    model: CausalMamba, mutants: np.ndarray, reference: np.ndarray, before: State, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the change of log p of the bases that follow, (n, `STEP`) and its sum, by pieces."""

    def read(start: int, stop: int) -> Tensor:
        return _one_hot(model, mutants[:, start:stop])

    plan = Plan(length, STEP)
    for tile in sweep.primal(model, read, plan, before):
        start, stop = plan.bounds(tile.k)
        predicted = slice(start + 1, stop + 1)
        change = _observed_log_p(model, tile.log_probs, mutants[:, predicted])
        change = change - reference[:, predicted]
        yield change, change.sum(axis=1)


def _one_hot(model: CausalMamba, codes: np.ndarray) -> Tensor:
    return model.one_hot(model.vocabulary.encode(codes))


def _next(state: State) -> Tensor:
    """Log-probabilities of the next base (n, 1, V), which the state of a whole model has."""
    return cast(Tensor, state.log_probs)[:, None]


def _observed_log_p(model: CausalMamba, log_probs: Tensor, codes: np.ndarray) -> np.ndarray:
    """Pick from log-probabilities (n, T, V) those of the observed bases (n, T); zero for N."""
    rows = model.vocabulary.encode(codes)[..., None].to(log_probs.device)
    picked = log_probs.gather(2, rows)[..., 0].double().cpu().numpy()
    return np.where(codes == N_CODE, 0.0, picked)
