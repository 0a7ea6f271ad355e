"""Certificates: what they look at, and that each planted fault fails the item made for it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyBigWig
import pytest
import torch
from safetensors.torch import load_file, save_file

import pgf_genome as pgf
from pgf_genome.mamba.mixers import mamba1
from pgf_genome.runs.certificate import Certificate
from pgf_genome.scan import cpu
from pgf_genome.sequence import Strand
from pgf_genome.verification.certify import certify
from pgf_genome.verification.checkpoint import verify_model

ORACLES = Path(__file__).parent / "oracles"
MODEL = ORACLES / "hf_mamba_tiny"


def failed(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.failed}


def checked(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if check.passed is not None}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("fasta") / "in.fa"
    texts = {"a": rng.choice(list("ACGT"), 400), "b": [*"NNN", *rng.choice(list("ACGT"), 90)]}
    path.write_text("".join(f">{name}\n{''.join(text)}\n" for name, text in texts.items()))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, fasta) -> Path:
    """Folder of a run that passed."""
    folder = tmp_path_factory.mktemp("finished")
    model = pgf.load_model(MODEL)
    run = pgf.attribute(fasta, model, folder / "x", certify=certify, tile=128)
    assert failed(run.record.certificate) == set()
    assert checked(run.record.certificate) == ALL
    return folder


ALL = {
    "model", "sequence", "central differences", "tangent-adjoint identity", "autograd", "effects",
    "precision", "replayed states", "values", "track files", "indexes", "zoom levels",
}  # fmt: skip


@pytest.fixture
def prefix(tmp_path, finished) -> Path:
    """A copy of that run, to be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "run")) / "x"


def test_a_sound_run_passes_and_its_record_and_report_say_so(prefix, command):
    done = command("verify", prefix, "-t", "1", "-m", MODEL, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["passed"]
    assert {check["name"] for check in found["checks"] if check["passed"]} == ALL
    run = pgf.open_run(prefix)
    assert {check.name for check in run.record.certificate.checks} == ALL
    page = run.files["report"].read_text()
    assert page.count("<!-- certificate -->") == 1
    assert page.count("12 of 12 items checked, all passed") == 1


def rewritten(path: Path, shift: int) -> None:
    """Write a bigWig anew with its values so many bases further on."""
    with pyBigWig.open(str(path)) as old:
        sizes = old.chroms()
        values = {c: np.roll(old.values(c, 0, n, numpy=True), shift) for c, n in sizes.items()}
    from pgf_genome.tracks import BigWigWriter

    with BigWigWriter(path, sizes) as new:
        for contig, row in values.items():
            new.add(contig, 0, row)


def test_a_shifted_track_fails_values_and_marks_the_report(prefix, command):
    rewritten(Path(f"{prefix}.contribution.bw"), 1)
    done = command("verify", prefix, "-t", "1", "-m", MODEL)
    assert done.code == 1
    assert "the certificate failed: 2 of 12 items failed: values, track files" in done.error
    page = Path(f"{prefix}.report.html").read_text()
    assert 'class="certificate failed"' in page
    assert "<strong>FAILED</strong>" in page
    assert not pgf.open_run(prefix).record.certificate.passed


def test_an_index_of_another_file_fails_indexes(prefix):
    index = Path(f"{prefix}.contribution.bedgraph.gz.tbi")
    shutil.copy(Path(f"{prefix}.sensitivity.bedgraph.gz.tbi"), index)
    assert "indexes" in failed(pgf.verify(prefix, MODEL))
    index.unlink()
    assert "indexes" in failed(pgf.verify(prefix, MODEL))


def test_a_bigwig_with_the_index_of_another_file_fails_indexes(prefix):
    ours, other = (Path(f"{prefix}.{name}.bw") for name in ("contribution", "sensitivity"))
    held = bytearray(ours.read_bytes()), other.read_bytes()
    at, theirs = (int.from_bytes(content[24:32], "little") for content in held)
    size = 48 + 4 + 32 * 2  # the head of the tree, and one node of two sections
    held[0][at : at + size] = held[1][theirs : theirs + size]
    ours.write_bytes(held[0])
    assert "indexes" in failed(pgf.verify(prefix, MODEL))


def test_a_weight_changed_by_one_per_cent_fails_model_and_values(prefix, tmp_path):
    changed = Path(shutil.copytree(MODEL, tmp_path / "changed"))
    path = changed / "model.safetensors"
    before = path.stat()
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("0.mixer.out_proj.weight"))
    save_file(tensors | {name: tensors[name] * 1.01}, path, metadata={"format": "pt"})
    assert path.stat().st_size == before.st_size
    assert failed(pgf.verify(prefix, changed)) == {"model", "values"}


def test_another_sequence_fails_sequence_and_values(prefix, fasta, tmp_path):
    text = fasta.read_text()
    (tmp_path / "in.fa").write_text(text.translate(str.maketrans("ACGT", "CGTA")))
    assert failed(pgf.verify(prefix, MODEL, tmp_path / "in.fa")) == {"sequence", "values"}


def run_with_a_fault(tmp_path: Path, fasta: Path) -> set[str]:
    """What a run finds that verifies itself."""
    model = pgf.load_model(MODEL)
    run = pgf.attribute(fasta, model, tmp_path / "x", certify=certify, tile=128, report=False)
    return failed(run.record.certificate)


def test_a_flipped_sign_in_a_kernel_fails_the_derivatives(tmp_path, fasta, monkeypatch):
    adjoint = cpu.scan_adjoint

    def flipped(*args, **options):
        bars = list(adjoint(*args, **options))
        bars[2] = -bars[2]  # of B
        return tuple(bars)

    monkeypatch.setattr(cpu, "scan_adjoint", flipped)
    found = run_with_a_fault(tmp_path, fasta)
    assert found >= {"central differences", "tangent-adjoint identity", "autograd"}


def test_states_in_float16_fail_precision(tmp_path, fasta, monkeypatch):
    scan = mamba1.selective_scan

    def rounded(*args):
        y, state = scan(*args)
        if isinstance(state, torch.Tensor):
            state = state + (state.half().to(state.dtype) - state).detach()
        return y, state

    monkeypatch.setattr(mamba1, "selective_scan", rounded)
    assert "precision" in run_with_a_fault(tmp_path, fasta)


def test_a_wrong_strand_fails_values(tmp_path, fasta, monkeypatch):
    monkeypatch.setattr(Strand, "on_plus", lambda self, values: values)
    assert run_with_a_fault(tmp_path, fasta) == {"values"}


def test_a_damaged_state_fails_replayed_states(tmp_path, fasta, monkeypatch):
    """A fault of the machine that comes and goes."""
    from pgf_genome.verification import states

    primal, times = states.sweep.primal, []

    def faulty(*args):
        for step in primal(*args):
            times.append(step.k)
            yield step._replace(state=step.state.map(lambda t: t + 1e-7))

    def certified(*args):
        monkeypatch.setattr(
            states, "sweep", SimpleNamespace(**vars(states.sweep) | {"primal": faulty})
        )
        return certify(*args)

    model = pgf.load_model(MODEL)
    run = pgf.attribute(fasta, model, tmp_path / "x", certify=certified, tile=32, report=False)
    assert times
    assert "replayed states" in failed(run.record.certificate)


@pytest.mark.parametrize(
    "options",
    [
        {"strand": "-", "target": ("a:301-320",), "method": "saliency"},
        {
            "region": ("a:101-200",),
            "context": 50,
            "method": "near 4",
            "tracks": ("effect", "importance"),
            "formats": ("bedgraph",),
            "compress": False,
        },
        {"strand": "+", "objective": "entropy", "method": "ig 2", "tracks": ("ig", "surprisal")},
    ],
    ids=["target", "context", "path"],
)
def test_the_options_of_the_run_are_kept(tmp_path, fasta, options):
    model = pgf.load_model(MODEL)
    given = {"tile": 128, "report": False} | options
    run = pgf.attribute(fasta, model, tmp_path / "x", certify=certify, **given)
    for certificate in (run.record.certificate, pgf.verify(tmp_path / "x", model)):
        assert failed(certificate) == set(), certificate
        assert "values" in checked(certificate)


def test_windows_of_a_bidirectional_model_are_verified(tmp_path, fasta):
    model = pgf.load_model(ORACLES / "caduceus_ph_tiny")
    pgf.attribute(fasta, model, tmp_path / "x", window=128, halo=16, report=False)
    certificate = pgf.verify(tmp_path / "x", model)
    assert failed(certificate) == set(), certificate
    assert checked(certificate) == ALL - {"replayed states"}


@pytest.mark.parametrize("name", ["hf_mamba_tiny", "hf_mamba2_tiny", "caduceus_ps_tiny"])
def test_a_checkpoint_is_compared_with_transformers_or_with_the_equations(name):
    certificate = verify_model(ORACLES / name)
    assert failed(certificate) == set(), certificate
    against = "transformers" if name.startswith("hf") else "equations"
    assert [check.name for check in certificate.checks] == ["logits", "gradient"]
    assert all(against in check.detail for check in certificate.checks)


def test_a_checkpoint_is_compared_with_hidden_states_on_record(tmp_path, command):
    directory = ORACLES / "caduceus_ps_tiny"
    weights = next(directory.glob("*.safetensors"), None) or next(directory.glob("*.bin"))
    oracle = np.load(directory / "oracle.npz")
    text = "".join(
        line for line in (directory / "input.fa").read_text().splitlines() if line[0] != ">"
    )
    record = {
        "weights_file": weights.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "values": oracle["final_hidden"].reshape(len(text), -1).mean(axis=0).tolist(),
    }
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps({"sequence": text, "checkpoints": {"it": record}}))
    done = command("verify", "-t", "1", "-m", directory, "--recorded", path)
    assert done.code == 0, done.err
    assert "recorded hidden states\tpassed" in done.out
    record["values"][0] += 1
    path.write_text(json.dumps({"sequence": text, "checkpoints": {"it": record}}))
    assert command("verify", "-t", "1", "-m", directory, "--recorded", path).code == 1
    record["weights_sha256"] = "0"
    path.write_text(json.dumps({"sequence": text, "checkpoints": {"it": record}}))
    assert (
        "no record of these weights"
        in command("verify", "-t", "1", "-m", directory, "--recorded", path).err
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give the prefix of a finished run, or --model alone"),
        (("--model", MODEL, "--fasta", "x.fa"), "FASTA is the sequence of a run"),
        (("nothing",), "nothing.run.json: cannot be read"),
    ],
)
def test_what_cannot_be_verified_is_said_in_one_line(command, arguments, said):
    done = command("verify", *arguments)
    assert done.code in (1, 2)
    assert said.replace("FASTA", "--fasta") in done.error


def test_the_model_of_a_run_must_be_given_if_it_is_not_bundled(prefix, command):
    assert "hf_mamba_tiny, which is not bundled: give --model" in command("verify", prefix).error
