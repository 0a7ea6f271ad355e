"""The command ``attribute``, and its plan without running it."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Timer

import torch

from pgf_genome.attribution import substituted, substituted_windows
from pgf_genome.attribution.forecast import Forecast, Planned, Speed
from pgf_genome.attribution.methods import runs_again
from pgf_genome.attribution.options import Arguments, Options
from pgf_genome.attribution.outputs import write_outputs
from pgf_genome.attribution.prepare import Prepared, check_disk, prepared
from pgf_genome.attribution.resumption import resumed
from pgf_genome.attribution.segment import run_segments
from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.layout import Layout
from pgf_genome.engine.objective import SquaredNorm
from pgf_genome.engine.running import running_of
from pgf_genome.engine.threads import torch_threads
from pgf_genome.files import output_prefix, require_folder
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.runs.run import Run
from pgf_genome.signature import takes
from pgf_genome.torch_modes import in_ordinary_modes
from pgf_genome.workspace import work_folder, workspace

FEW = 2  # bases that any sweep takes
ADJOINT_PASSES = 3  # forward passes that an adjoint takes as long as, in a window

log = logging.getLogger("pgf_genome")


@takes(Arguments)
@in_ordinary_modes
def attribute(given: Arguments) -> Run:
    """Compute the sensitivity of an objective to every base, and write genome-browser tracks.

    The options, such as ``region`` and ``objective``, are explained where they are kept: `Options`.

    Parameters
    ----------
    fasta : path
        FASTA, plain, gzip or bgzip; ``"-"`` is standard input.
    model : LanguageModel, bundled name, checkpoint directory, or hub id
    out_prefix : path, optional
        Prefix of the outputs; the FASTA's name without its suffix if None.
    progress : callable, optional
        Called with the bases done since the last call and the bases in all.
    certify : callable, optional
        Checks the run before its report is written, see `pgf_genome.verification.certify`; the
        certificate is in the record that is returned, passed or not.

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
    started, options, model = time.monotonic(), given.options, given.model
    prefix = output_prefix(given.prefix)
    if not isinstance(model, LanguageModel):
        model = load_model(model)
    scratch_dir = None if options.scratch_dir is None else Path(options.scratch_dir)
    with (
        ExitStack() as stack,
        workspace(prefix, scratch_dir, options.resume) as scratch,
        prepared(given.fasta, model, options, scratch) as plan,
    ):
        check_disk(plan, scratch)
        plan = replace(plan, witnessed=given.certify is not None)
        plan, folder = resumed(scratch, plan)
        stack.enter_context(torch_threads(plan.threads))
        warm_up(model)
        _log_plan(plan)
        report, total = given.progress or (lambda done, total: None), plan.bases
        results = run_segments(plan, folder, lambda n: report(n, total))
        done = write_outputs(plan, results, prefix, str(given.fasta), started, given.certify)
        log.debug("wrote %s", ", ".join(map(str, done.files.values())))
        return done


def _log_plan(plan: Prepared) -> None:
    log.debug(
        "plan: %d segments, %s bases to read, strands %s, %s of %s, %d threads, %d MiB of memory",
        *(len(plan.segments), f"{plan.bases:,}", plan.strands, *plan.layout.description()),
        *(plan.threads, plan.memory // 2**20),
    )


def dry_run(
    fasta: str | Path, model: LanguageModel, options: Options, out_prefix: str | Path = "out"
) -> Forecast:
    """Plan a run: its segments, memory, disk and time. Nothing is written but scratch files."""
    scratch_dir = None if options.scratch_dir is None else Path(options.scratch_dir)
    if scratch_dir is not None:
        require_folder(scratch_dir, "scratch_dir")
    with (
        tempfile.TemporaryDirectory(prefix="pgf-", dir=scratch_dir) as scratch,
        prepared(fasta, model, options, Path(scratch)) as plan,
    ):
        plan.genome.path.unlink()  # the system removes it even if this process is killed
        return Forecast(
            segments=tuple(map(Planned.of, plan.tasks)),
            cut=plan.layout.description(),
            layout=plan.layout.settings(),
            memory_bytes=plan.memory,
            scratch_bytes=plan.disk,
            scratch_folder=str(work_folder(Path(out_prefix), scratch_dir)),
            seconds=_seconds(plan),
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


def _seconds(plan: Prepared) -> float:
    """Expected time of a run, by that of short sequences."""
    speed, strands, method = _speed(plan.model, plan.layout), len(plan.strands), plan.method
    times = method.sweeps
    seconds = speed.seconds(plan.bases * times, len(plan.segments) * times, plan.stretches, strands)
    if not runs_again(method):
        return seconds * plan.layout.effort
    if running_of(plan.model).streams:
        return seconds + strands * substituted.seconds(plan.tasks, method.near)
    windows = substituted_windows.WINDOWS * plan.written * strands
    at_once = min(plan.layout.at_once, max((s.length for s in plan.segments), default=1))
    return windows * at_once * speed.base / ADJOINT_PASSES


def _speed(model: LanguageModel, layout: Layout) -> Speed:
    """Measure adjoint sweeps of two tiles and of a few random bases."""
    length = min(layout.at_once, 2048)
    ids = torch.randint(4, (2 * length + FEW,), generator=torch.Generator().manual_seed(0))
    bases = torch.tensor(model.vocabulary.base_ids)[ids]
    objective = None if model.config.has_head else SquaredNorm()

    def seconds(size: int) -> float:
        started = time.monotonic()
        adjoint(model, bases[:size], objective, length)
        return time.monotonic() - started

    seconds(length + 1)  # compiles the kernels
    whole, few = seconds(len(bases)), min(seconds(FEW) for _ in range(3))
    per_base = max(whole - few, 0) / (len(bases) - FEW)
    return Speed(per_base, max(few - FEW * per_base, 0))
