"""``pgf-genome pretrain``: from FASTA files to a model directory, resumable at any moment."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pgf_genome.checkpoints.load import resolve_device
from pgf_genome.errors import IntegrityError, UsageError
from pgf_genome.files import atomic, atomic_write_text, discard, require_folder
from pgf_genome.intervals import Interval, parse_region, read_bed
from pgf_genome.pretrain.card import Curve, Score, card, curve_table, size_of
from pgf_genome.pretrain.corpus import Corpus
from pgf_genome.pretrain.evaluation import bits_per_base
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Job
from pgf_genome.pretrain.training import Learner
from pgf_genome.process import stops_when_asked
from pgf_genome.sequence import Genome, decode_fasta
from pgf_genome.workspace import claimed

CHECKPOINT, FACTS, CURVE = "checkpoint.pt", "training.json", "training.tsv"
# Points of the training curve, and points from one glance at the held-out intervals to the next.
CURVE_POINTS, POINTS_PER_GLANCE = 200, 20
# Bases of every held-out interval that a glance scores; at the end all of them are scored.
GLANCE = 50_000

log = logging.getLogger("pgf_genome")


def pretrain(job: Job, progress: Callable[[float, int], object] = lambda done, total: None) -> Path:
    """Train a model, or continue an unfinished training of the same job.

    Writes into ``job.directory`` the model as `load_model` and transformers read it, a model card
    (README.md), the curve (training.tsv) and the facts (training.json). During training the
    directory holds checkpoint.pt instead.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    SequenceError, UsageError, ResourceError, IntegrityError
        For unreadable genomes, unknown regions or ambiguous contigs, a directory that cannot be
        written or that holds another model or training, a damaged checkpoint.

    Notes
    -----
    The same job gives the same weights on the same machine and number of threads, interrupted or
    not. Memory is that of `train`. While it runs, disk holds a byte per base, and the boundary
    states of full backpropagation.
    """
    device = resolve_device(job.device)
    require_folder(job.directory, "directory")
    with claimed(job.directory / "model"), _genomes(job.fastas) as genomes:
        holes = _holes(genomes, job.hold_out)
        shares = job.shares or [sum(g.lengths.values()) for g in genomes]
        corpus = Corpus(dict(zip(genomes, shares, strict=True)), holes, job.training)
        identity = _identity(corpus)
        run = _Run(job, Learner(corpus, device), identity)
        if not run.resume() and _is_done(job, identity):
            log.info("%s: complete already; nothing to do", job.directory)
            return job.directory
        log.debug("plan: %d steps, %s bases", corpus.steps, f"{job.training.bases:,}")
        run.train(progress)
        run.finish([_score(run.learner, g, h) for g, hs in holes.items() for h in hs])
    return job.directory


class _Run:
    """A learner with its clock, its curve and its checkpoint."""

    def __init__(self, job: Job, learner: Learner, identity: str) -> None:
        self.job, self.learner, self.identity = job, learner, identity
        self.seconds, self.curve = 0.0, Curve()
        self._losses: list[float] = []
        self._checkpoint = job.directory / CHECKPOINT

    def train(self, progress: Callable[[float, int], object]) -> None:
        """Take the steps that are left."""
        learner, steps = self.learner, self.learner.corpus.steps
        per_step = self.job.training.bases / steps
        progress(learner.step * per_step, self.job.training.bases)
        started = saved = time.monotonic()
        before = self.seconds
        with stops_when_asked() as asked_to_stop:
            while learner.step < steps:
                bits, _ = learner.advance()
                if not math.isfinite(bits):
                    raise IntegrityError(
                        f"training diverged at step {learner.step}: the loss is not finite; lower "
                        "`learning_rate` and give `restart`"
                    )
                self._losses.append(bits)
                progress(per_step, self.job.training.bases)
                now = time.monotonic()
                self.seconds = before + now - started
                self._note(steps)
                late = now - saved >= self.job.checkpoint_seconds
                if late or asked_to_stop() or learner.step == steps:
                    self._save()
                    saved = time.monotonic()
                if asked_to_stop():
                    raise KeyboardInterrupt

    def _note(self, steps: int) -> None:
        """Add a point to the curve, and now and then score the start of the held-out intervals."""
        step = self.learner.step
        if step % max(1, steps // CURVE_POINTS) and step != steps:
            return
        bases = round(self.job.training.bases * step / steps)
        bits = math.fsum(self._losses) / len(self._losses)
        self._losses.clear()
        last = step == steps
        glances: dict[str, float] = {}
        if (len(self.curve.points) + 1) % POINTS_PER_GLANCE == 0 or last:
            # At the end `finish` scores the intervals as a whole.
            holes = {} if last else self.learner.corpus.held_out
            short = [(g, _first(h, GLANCE)) for g, hs in holes.items() for h in hs]
            glances = {str(h): sum(bits_per_base(self.learner.model, g, h)) / 2 for g, h in short}
            scores = "".join(f"; held out {name}: {value:.4f}" for name, value in glances.items())
            log.info("%s bases: training %.4f bits per base%s", f"{bases:,}", bits, scores)
        self.curve.points.append((bases, self.seconds, bits, glances))

    def _save(self) -> None:
        kept = {"identity": self.identity, "seconds": self.seconds, "curve": self.curve.points}
        kept |= {"losses": self._losses, "learner": self.learner.snapshot()}
        content = io.BytesIO()
        torch.save(kept, content)
        data = content.getbuffer()
        with atomic(self._checkpoint) as part, part.open("xb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)
        log.debug("checkpoint at step %d in %s", self.learner.step, self._checkpoint)

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one of this job; return whether there is.

        It is there until the model is complete, so that a training which is stopped while it writes
        the model, even over another one, goes on.
        """
        if self.job.restart:
            discard(self._checkpoint)
        if not self._checkpoint.exists():
            return False
        kept = _read_checkpoint(self._checkpoint)
        if kept["identity"] != self.identity:
            raise IntegrityError(
                f"{self._checkpoint} belongs to another training (other genomes, held-out "
                "intervals or options); repeat those, choose another `directory`, or `restart`"
            )
        self.seconds, self._losses = kept["seconds"], kept["losses"]
        self.curve.points.extend(kept["curve"])
        self.learner.restore(kept["learner"])
        log.info("resumed at step %d of %d", self.learner.step, self.learner.corpus.steps)
        return True

    def finish(self, scores: Sequence[Score]) -> None:
        """Write the model, its card and last its facts; delete the checkpoint."""
        directory, model = self.job.directory, self.learner.model
        facts = {
            "identity": self.identity,
            "training": asdict(self.job.training),
            "steps": self.learner.corpus.steps,
            "seconds": round(self.seconds, 1),
            "device": str(self.learner.model.device),
            "threads": torch.get_num_threads(),
            "held_out": [asdict(score) for score in scores],
        }
        discard(directory / FACTS)  # of another model, beside which this one must not lie
        text = card(directory.name, model, self.learner.corpus, facts, scores, self.curve)
        save_model(model, directory, text)
        atomic_write_text(directory / CURVE, curve_table(self.curve))
        atomic_write_text(directory / FACTS, json.dumps(facts, indent=2) + "\n")
        discard(self._checkpoint)


def _score(learner: Learner, genome: Genome, hole: Interval) -> Score:
    plus, minus = bits_per_base(learner.model, genome, hole)
    log.info("held out %s: %.4f bits per base", hole, (plus + minus) / 2)
    return Score(str(hole), hole.length, plus, minus)


def _first(interval: Interval, bases: int) -> Interval:
    return Interval(interval.contig, interval.start, min(interval.stop, interval.start + bases))


@contextmanager
def _genomes(fastas: Sequence[str]) -> Iterator[list[Genome]]:
    with tempfile.TemporaryDirectory(prefix="pgf-") as scratch, ExitStack() as opened:
        found = []
        for i, fasta in enumerate(fastas):
            genome = opened.enter_context(decode_fasta(fasta, Path(scratch) / str(i)))
            found.append(genome)
            log.info("%s: %s", Path(fasta).name, size_of(genome))
        yield found


def _holes(genomes: Sequence[Genome], asked: Sequence[str]) -> dict[Genome, list[Interval]]:
    """Assign the held-out intervals to the genomes that have their contigs."""
    owner: dict[str, Genome] = {}
    for genome in genomes:
        for name in genome.lengths:
            owner.setdefault(name, genome)
    shared = [n for g in genomes for n in g.lengths if owner[n] is not g]
    lengths = {name: genome.lengths[name] for name, genome in owner.items()}
    holes: dict[Genome, list[Interval]] = {genome: [] for genome in genomes}
    for text in asked:
        bed = Path(text).is_file()
        for hole in read_bed(text, lengths) if bed else [parse_region(text, lengths)]:
            if hole.contig in shared:
                raise UsageError(
                    f"`hold_out` {text}: more than one FASTA has a contig {hole.contig!r}; rename "
                    "it in one of them"
                )
            holes[owner[hole.contig]].append(hole)
    return holes


def _identity(corpus: Corpus) -> str:
    """Digest of all that the weights depend on."""
    genomes = [(g.digest, share) for g, share in corpus.genomes.items()]
    holes = [[str(h) for h in hs] for hs in corpus.held_out.values()]
    everything = json.dumps([asdict(corpus.training), genomes, holes])
    return hashlib.sha256(everything.encode()).hexdigest()


def _is_done(job: Job, identity: str) -> bool:
    """Return whether the directory holds this job's model.

    Raises
    ------
    UsageError
        If it holds another model.
    """
    facts, weights = job.directory / FACTS, job.directory / "model.safetensors"
    if job.restart or not weights.exists():
        return False
    if facts.exists() and json.loads(facts.read_text())["identity"] == identity:
        return True
    raise UsageError(
        f"{job.directory} holds another model already; choose another `directory`, or `restart` "
        "to replace it"
    )


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """What `_Run._save` has written: a SHA-256, and behind it what it is of."""
    try:
        content = memoryview(path.read_bytes())
        size = hashlib.sha256().digest_size
        if hashlib.sha256(content[size:]).digest() != content[:size]:
            raise EOFError("the checksum differs")
        return torch.load(io.BytesIO(content[size:]), weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise IntegrityError(f"{path} is damaged; run again with `restart`") from error
