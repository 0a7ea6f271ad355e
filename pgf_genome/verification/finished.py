"""The certificate of a finished run, from its files, its model and its sequence."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from pgf_genome.attribution.options import Options
from pgf_genome.attribution.prepare import prepared
from pgf_genome.checkpoints.choices import DEFAULT_DEVICE, bundled_models
from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.running import running_of
from pgf_genome.engine.threads import torch_threads
from pgf_genome.errors import PgfError, SequenceError, UsageError
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.report.certificate import mark_report
from pgf_genome.runs.certificate import Certificate
from pgf_genome.runs.record import Record
from pgf_genome.runs.run import Run, open_run
from pgf_genome.runs.storing import write_record
from pgf_genome.torch_modes import in_ordinary_modes
from pgf_genome.verification.certify import certify

log = logging.getLogger("pgf_genome")


@in_ordinary_modes
def verify(
    prefix: str | os.PathLike[str],
    model: LanguageModel | str | Path | None = None,
    fasta: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = DEFAULT_DEVICE,
    threads: int | None = None,
) -> Certificate:
    """Check a finished run of `attribute` or mutagenesis at places drawn from it.

    The certificate is kept in the run's ``run.json``, and its report is marked.

    Parameters
    ----------
    prefix : path-like
        Prefix of the run's files.
    model : LanguageModel, bundled name, checkpoint directory, or hub id, optional
        The run's model; default: the name in ``run.json``, of a bundled model or of the hub.
    fasta : path-like, optional
        The run's sequence; default: the path at which the run read it.
    device : str or torch.device
    threads : int, optional
        Threads in all; torch's count if None.

    Returns
    -------
    Certificate
        ``passed``, and ``checks`` with name, tolerance, value and verdict of every item.

    Raises
    ------
    IntegrityError
        If there is no finished run under the prefix.
    UsageError
        If the run cannot be planned again: its model is not known, its objective was a callable, or
        it was merged of regions.
    PgfError
        If model or sequence cannot be read.

    Notes
    -----
    A few places are computed again, with the options of the run; time does not depend on the
    length of the contigs, but for the decoding of the FASTA. In contigs that are too long to be
    swept again as a whole, values are compared with those of the sequence around them.
    """
    run = open_run(prefix)
    record = run.record
    if not isinstance(model, LanguageModel):
        model = _loaded(record, model or _source(record), device)
    source = fasta or record.fasta.path
    if source is None:
        raise SequenceError("run.json does not say where the FASTA is: give `fasta`")
    options = _options(record, model)
    with (
        torch_threads(threads or torch.get_num_threads()),
        tempfile.TemporaryDirectory(prefix="pgf-") as folder,
        prepared(os.fspath(source), model, options, Path(folder)) as plan,
    ):
        plan.genome.path.unlink()  # the system removes it even if this process is killed
        certificate = certify(plan, run)
    _keep(run, certificate)
    return certificate


def _source(record: Record) -> str:
    """Where the model of a run can be found."""
    name = record.model.get("repo") or record.model.get("name")
    if not record.model.get("repo") and name not in bundled_models():
        raise UsageError(f"run.json names the model {name}, which is not bundled: give `model`")
    return str(name)


def _loaded(record: Record, source: str | Path, device: str | torch.device) -> LanguageModel:
    """The model in the run's precision, with N fed as the run did."""
    dtype, known = str(record.model.get("dtype")), record.model.get("sha256")
    model = load_model(source, device, dtype)
    if model.digest != known and not running_of(model).streams:
        padded = load_model(source, device, dtype, n_as_pad=True)
        return padded if padded.digest == known else model
    return model


def _options(record: Record, model: LanguageModel) -> Options:
    """The options with which the run can be planned again."""
    names = {field.name for field in fields(Options)}
    given: dict[str, Any] = {k: v for k, v in record.arguments.items() if k in names}
    given |= {"gff": None, "max_memory": None}
    if record.tile_length is not None and running_of(model).streams:
        given["tile"] = record.tile_length
    if record.halo is not None:
        given |= {"window": record.halo.window, "halo": record.halo.halo}
    if record.parts:
        if record.bases.written < sum(record.sizes.values()):
            raise UsageError(
                "the runs that were merged did not write all of their contigs: verify each of them"
            )
        given["contig"] = tuple(record.fasta_names)
    return Options(**given)


def _keep(run: Run, certificate: Certificate) -> None:
    """Put a certificate into run.json and the report; where nothing can be written, say so."""
    try:
        write_record(run.prefix, replace(run.record, certificate=certificate))
        if "report" in run.files and run.files["report"].is_file():
            mark_report(run.files["report"], certificate)
    except PgfError as error:
        log.warning("the certificate is not kept: %s", error)
