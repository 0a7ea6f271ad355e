"""The sweep over layers: equal to the definition, in memory or in files, whenever it is stopped."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import (
    COMPLEMENT,
    MAMBA2,
    assert_within,
    bidirectional_config,
    random_model,
)

import pgf_genome as pgf
from pgf_genome.engine.layerwise import schedule
from pgf_genome.engine.layerwise.context import Layers
from pgf_genome.engine.layerwise.run import sweep
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import RecordFile
from pgf_genome.engine.store import FileStore, MemoryStore
from pgf_genome.errors import IntegrityError, ResourceError
from pgf_genome.mamba.mixers.both_ways import TwoWay

MULTIPLY = {"two_way": TwoWay(False, "ew_multiply"), "rms_norm": False}
MODELS = {
    "one strand": random_model(bidirectional_config(n_layer=3)),
    "both strands": random_model(bidirectional_config(True, n_layer=3)),
    "mamba2": random_model(bidirectional_config(True, n_layer=2, **MAMBA2)),
    "multiply": random_model(bidirectional_config(n_layer=2, **MULTIPLY)),
    "both, multiply": random_model(
        bidirectional_config(two_way=TwoWay(True, "ew_multiply", COMPLEMENT))
    ),
}
OBJECTIVE = pgf.PseudoLikelihood(targets="input", positions=((2, 9), (11, 400)))


class KilledError(BaseException):
    pass


def defined(model, x):
    """Predictions, F and its gradient of one sequence, by autograd through the definition."""
    x = x[None].requires_grad_()
    log_p = model(x)[0]
    bases, chosen = list(model.vocabulary.base_ids), torch.zeros(x.shape[1])
    for start, stop in OBJECTIVE.positions:
        chosen[start:stop] = 1
    value = ((x[0] * log_p)[:, bases].sum(1) * chosen).sum()
    return log_p, value, torch.autograd.grad(value, x)[0][0]


def layered(model, store, x, plan, before=None, **options):
    """The same by layers, for a batch of sequences; ``before`` is what killed runs have given."""
    log_p, gradient = before or [[None] * plan.tiles for _ in range(2)]
    layers = Layers(
        *(model, lambda a, b: x[:, a:b], plan, store, len(x), [OBJECTIVE] * len(x)), **options
    )

    def seen(k, tiles, values):
        log_p[k] = torch.stack([tile.log_p for tile in tiles])

    def found(k, of_tile):
        gradient[k] = of_tile

    value = sweep(layers, seen, found)
    return SimpleNamespace(log_p=log_p, value=value, gradient=gradient)


def inputs(model, *lengths):
    """Random distributions over the tokens, because the model is extended to them."""
    generator = torch.Generator().manual_seed(1)
    shape = (*lengths, model.config.vocab_rows)
    return torch.rand(shape, generator=generator, dtype=model.dtype).softmax(-1)


@settings(max_examples=12)
@given(
    name=st.sampled_from(sorted(MODELS)),
    length=st.integers(1, 24),
    tile=st.integers(1, 30),
    store_every=st.integers(1, 4),
    batch=st.integers(1, 2),
    in_files=st.booleans(),
)
def test_layers_give_what_the_definition_gives(name, length, tile, store_every, batch, in_files):
    model, plan = MODELS[name], Plan(length, tile)
    x = inputs(model, batch, length)
    with (
        TemporaryDirectory() as folder,
        FileStore(Path(folder) / "x", "") if in_files else MemoryStore() as store,
    ):
        found = layered(model, store, x, plan, store_every=store_every)
    log_p, gradient = (torch.cat(parts, dim=1) for parts in (found.log_p, found.gradient))
    for b in range(batch):
        expected = defined(model, x[b])
        assert_within(1e-12, log_p[b], expected[0])
        assert_within(1e-12, found.value[b], expected[1])
        assert_within(1e-11, gradient[b], expected[2])


@pytest.mark.parametrize("name", MODELS)
def test_numbers_depend_neither_on_threads_nor_on_where_or_how_often_rows_are_stored(
    name, tmp_path
):
    model, plan = MODELS[name], Plan(21, 4)
    x = inputs(model, 1, 21)
    expected = layered(model, MemoryStore(), x, plan)
    for store_every, threads in ((1, 4), (2, 1), (4, 2)):
        with FileStore(tmp_path / f"{store_every}", "") as store:
            found = layered(model, store, x, plan, store_every=store_every, threads=threads)
        for each in ("log_p", "gradient"):
            assert all(map(torch.equal, getattr(found, each), getattr(expected, each)))
        assert torch.equal(found.value, expected.value)


def test_without_an_objective_the_model_runs_forward_only(tmp_path):
    model = MODELS["both strands"]
    x, seen = inputs(model, 1, 10), []
    with FileStore(tmp_path / "x", "") as store:
        layers = Layers(model, lambda a, b: x[:, a:b], Plan(10, 3), store)
        assert sweep(layers, lambda k, tiles, values: seen.append(tiles[0].log_p)) is None
    assert_within(1e-12, torch.cat(seen), model(x)[0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["both strands", "multiply"])
def test_a_run_stopped_after_any_write_goes_on_to_the_same_bits(
    name, threads, tmp_path, monkeypatch
):
    model, plan, x = MODELS[name], Plan(11, 3), inputs(MODELS[name], 1, 11)
    options = {"store_every": 2, "threads": threads}
    expected = layered(model, MemoryStore(), x, plan, **options)
    write, writes, before = RecordFile.write, [], [[None] * plan.tiles for _ in range(2)]

    def stopping(stop):
        def stop_after(self, *given):
            if len(writes) >= stop:
                raise KilledError
            write(self, *given)
            writes.append(1)

        return stop_after

    for stop in range(0, 10_000, 7):
        writes.clear()
        monkeypatch.setattr(RecordFile, "write", stopping(stop))
        try:
            with FileStore(tmp_path / "x", "run") as store:
                done = layered(model, store, x, plan, before, **options)
        except KilledError:
            continue
        break
    assert writes, "never stopped"
    assert torch.equal(done.value, expected.value)
    for each in ("log_p", "gradient"):
        assert all(map(torch.equal, getattr(done, each), getattr(expected, each)))


@pytest.mark.parametrize("size", [60, 2000, 9000])
def test_a_full_disk_ends_the_run_with_what_to_do(size, tmp_path, monkeypatch):
    model, plan, x = MODELS["one strand"], Plan(11, 3), inputs(MODELS["one strand"], 1, 11)
    write, left = os.pwrite, [size]

    def limited(file, data, offset):
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data, offset)

    monkeypatch.setattr(os, "pwrite", limited)
    with (
        pytest.raises(ResourceError, match="No space left on device; free space"),
        FileStore(tmp_path / "x", "") as store,
    ):
        layered(model, store, x, plan)


@pytest.mark.parametrize("name", ["h1", "states0", "bar1", "direct", "observed"])
def test_a_flipped_bit_is_found_or_does_not_matter(name, tmp_path, monkeypatch):
    """In whatever is stored; the run ends in the same bits, or says that it is damaged."""
    model, plan, x = MODELS["one strand"], Plan(11, 3), inputs(MODELS["one strand"], 1, 11)
    expected = layered(model, MemoryStore(), x, plan)
    write, damaged = RecordFile.write, []

    def flipping(self, *given):
        write(self, *given)
        if self.path.name == name and not damaged:
            content = bytearray(self.path.read_bytes())
            content[len(content) // 2] ^= 4
            self.path.write_bytes(content)
            damaged.append(name)

    monkeypatch.setattr(RecordFile, "write", flipping)
    found = None
    with contextlib.suppress(IntegrityError), FileStore(tmp_path / "x", "") as store:
        found = layered(model, store, x, plan)
    assert damaged
    assert found is None or all(map(torch.equal, found.gradient, expected.gradient))


@given(n_layer=st.integers(1, 9), store_every=st.integers(1, 10))
def test_every_table_is_there_when_it_is_read(n_layer, store_every):
    steps = schedule.steps_of(n_layer, store_every)
    assert schedule.needed(steps) == frozenset()
    forward = [step.layer for step in steps if step.kind == "forth"]
    assert forward[:n_layer] == [*range(n_layer)]
    assert [s.layer for s in steps if s.kind == "back"] == [*reversed(range(n_layer))]
    # a layer runs again at most once
    assert len(forward) <= 2 * n_layer


def test_fewer_layers_are_stored_the_rarer_they_are():
    def rows(store_every):
        steps = schedule.steps_of(16, store_every)
        return schedule.most(steps, lambda name: name.startswith(("h", "bar")))

    assert [rows(every) for every in (1, 2, 4, 16)] == [17, 10, 8, 17]


def test_rows_that_a_step_was_killed_over_are_made_again(tmp_path):
    """A torn record of joined rows: the share that stood there before is gone."""
    model, plan = MODELS["one strand"], Plan(12, 3)
    x = inputs(model, 1, 12)
    expected = layered(model, MemoryStore(), x, plan)

    class Torn(FileStore):
        def table(self, name, slot_bytes):
            table = super().table(name, slot_bytes)
            get = table.get

            def losing_shares(number, like, slot=None):
                return get(number, like, slot) if slot in (None, number - 4) else lambda: None

            table.get = losing_shares
            return table

    with Torn(tmp_path / "x", "") as store:
        found = layered(model, store, x, plan)
    assert all(map(torch.equal, found.gradient, expected.gradient))
