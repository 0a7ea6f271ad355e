"""The command ``attribute``, and its plan without running it."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Any

import torch

from pgf_genome.attribution.forecast import Forecast, Planned
from pgf_genome.attribution.options import Options
from pgf_genome.attribution.outputs import write_outputs
from pgf_genome.attribution.prepare import check_disk, prepared
from pgf_genome.attribution.segment import run_segment
from pgf_genome.attribution.workspace import (
    resumed,
    workspace,
)
from pgf_genome.checkpoints.load import load_model
from pgf_genome.checkpoints.source import DEFAULT_MODEL
from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.layout import Layout
from pgf_genome.engine.objective import SquaredNorm
from pgf_genome.engine.threads import torch_threads
from pgf_genome.errors import UsageError
from pgf_genome.files import require_folder
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.runs.run import Run

log = logging.getLogger("pgf_genome")


def attribute(
    fasta: str | Path,
    model: LanguageModel | str | Path = DEFAULT_MODEL,
    out_prefix: str | Path | None = None,
    progress: Callable[[float, float], None] | None = None,
    **options: Any,
) -> Run:
    """Compute the sensitivity of an objective to every base, and write genome-browser tracks.

    Parameters
    ----------
    fasta : path
        FASTA, plain, gzip or bgzip; ``"-"`` is standard input.
    model : LanguageModel, bundled name, checkpoint directory, or hub id
    out_prefix : path, optional
        Prefix of the outputs; the FASTA's name without its suffix if None.
    progress : callable, optional
        Called with the bases done since the last call and the bases in all.
    **options
        Fields of `Options`.

    Returns
    -------
    Run
        The finished run, as `open_run` reads it.

    Raises
    ------
    PgfError
        For anything wrong with input, options or machine.

    Notes
    -----
    Memory is that of one tile, or of one window of a bidirectional model, whatever the length of
    the contigs. Time is that of two primal sweeps and one backward pass per strand. A killed run
    continues where it stopped when it is called again.
    """
    started, chosen = time.monotonic(), Options(**options)
    if not isinstance(model, LanguageModel):
        model = load_model(model)
    prefix = default_prefix(fasta) if out_prefix is None else named_prefix(out_prefix)
    require_folder(prefix.parent, "out_prefix")
    scratch_dir = None if chosen.scratch_dir is None else Path(chosen.scratch_dir)
    with (
        ExitStack() as stack,
        workspace(prefix, scratch_dir, chosen.resume) as scratch,
        prepared(fasta, model, chosen, scratch) as plan,
    ):
        check_disk(plan, scratch)
        plan = resumed(scratch, plan)
        stack.enter_context(torch_threads(plan.threads))
        warm_up(model)
        report, total = progress or (lambda done, total: None), plan.bases
        results = [run_segment(task, scratch, lambda n: report(n, total)) for task in plan.tasks]
        return write_outputs(plan, results, prefix, str(fasta), started)


def dry_run(fasta: str | Path, model: LanguageModel, options: Options) -> Forecast:
    """Plan a run: its segments, memory, disk and time. Nothing is written but scratch files."""
    scratch_dir = None if options.scratch_dir is None else Path(options.scratch_dir)
    if scratch_dir is not None:
        require_folder(scratch_dir, "scratch_dir")
    with (
        tempfile.TemporaryDirectory(prefix="pgf-", dir=scratch_dir) as scratch,
        prepared(fasta, model, options, Path(scratch)) as plan,
    ):
        return Forecast(
            segments=tuple(map(Planned.of, plan.tasks)),
            cut=plan.layout.description(),
            layout=plan.layout.settings(),
            memory_bytes=plan.memory,
            scratch_bytes=plan.disk,
            seconds=plan.bases * len(plan.strands) * _seconds_per_base(model, plan.layout),
            device=str(model.device),
        )


def warm_up(model: LanguageModel) -> None:
    """Compile the kernels for a model, and say so if that takes time."""
    announce = Timer(3.0, log.info, ["compiling kernels, which is done once on a machine"])
    announce.daemon = True
    announce.start()
    try:
        bases = torch.tensor(model.vocabulary.base_ids)
        adjoint(model, bases, SquaredNorm())
    finally:
        announce.cancel()


def _seconds_per_base(model: LanguageModel, layout: Layout) -> float:
    """Measure the time of an adjoint sweep per base of a strand, on two tiles of random bases."""
    length = min(layout.at_once, 2048)
    ids = torch.randint(4, (2 * length,), generator=torch.Generator().manual_seed(0))
    bases = torch.tensor(model.vocabulary.base_ids)[ids]
    objective = None if model.config.has_head else SquaredNorm()
    adjoint(model, bases[: length + 1], objective, length)  # compiles the kernels
    started = time.monotonic()
    adjoint(model, bases, objective, length)
    return (time.monotonic() - started) / len(bases)


def named_prefix(prefix: str | Path) -> Path:
    """Return the prefix as a path.

    Raises
    ------
    UsageError
        If it is a folder without a name for the files.
    """
    if os.path.basename(prefix) in ("", ".", ".."):
        raise UsageError(
            f"`out_prefix` {os.fspath(prefix)!r}: add a name for the files, such as "
            f"{os.path.join(prefix, 'chr1')}"
        )
    return Path(prefix)


def default_prefix(fasta: str | Path) -> Path:
    """Return the FASTA's name without its suffixes, in the current directory."""
    name = "stdin" if str(fasta) == "-" else Path(fasta).name
    for suffix in (".gz", ".bgz", ".bgzf", ".fa", ".fasta", ".fna", ".ffn", ".txt"):
        name = name.removesuffix(suffix) or name
    return Path(name)
