from __future__ import annotations

import errno
import os

import pytest
import torch
from models import random_ids

from pgf_genome.engine import sweep
from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import Journal, RecordFile, StoredStates, nbytes
from pgf_genome.errors import IntegrityError, ResourceError

TENSORS = [
    torch.tensor([[1.5, -0.0], [float("inf"), 5e-324]], dtype=torch.float64),
    torch.tensor([3, -4], dtype=torch.int64),
    torch.tensor(0.25),
    torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
]
OTHERS = [tensor + 1 for tensor in TENSORS]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def records(path):
    with RecordFile(path, nbytes(TENSORS), "run") as file:
        yield file


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_records_come_back_under_their_numbers(records):
    records.write(2, TENSORS)
    records.write(0, OTHERS)
    assert_same(records.read(2, TENSORS), TENSORS)
    assert_same(records.read(0, TENSORS), OTHERS)


def test_a_journal_holds_the_last_two_records(path):
    with Journal(path, nbytes(TENSORS), "run") as journal:
        assert journal.records(TENSORS) == {}
        for number in (6, 5, 4):
            journal.write(number, [t + number for t in TENSORS])
        found = journal.records(TENSORS)
        assert sorted(found) == [4, 5]
        for number, tensors in found.items():
            assert_same(tensors, [t + number for t in TENSORS])


def test_a_torn_write_of_a_journal_leaves_the_record_before(path):
    with Journal(path, nbytes(TENSORS), "run") as journal:
        journal.write(4, TENSORS)
        journal.write(3, OTHERS)
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        assert sorted(journal.records(TENSORS)) == [4]


def test_states_come_back_by_tile_and_the_one_before_the_first_is_blank(tiny_model, path):
    blank = tiny_model.initial_state(2)
    states = [blank.map(lambda t, k=k: t + k) for k in range(4)]
    with StoredStates(path, blank, "run") as stored:
        for k in (1, 3):
            stored[k] = states[k]
        for k in (0, 1, 3):
            assert_same(stored[k].tensors(), states[k].tensors())
        assert [stored.whole(most) for most in (0, 1, 3)] == [0, 1, 1]
        stored[2] = states[2]
        assert stored.whole(3) == 3


def test_a_record_is_overwritten_in_place(records, path):
    records.write(1, TENSORS)
    size = path.stat().st_size
    records.write(1, OTHERS)
    assert path.stat().st_size == size
    assert_same(records.require(1, TENSORS), OTHERS)


def test_a_shorter_record_fits_a_slot(records):
    records.write(0, TENSORS)
    records.write(0, TENSORS[:2])
    assert_same(records.require(0, TENSORS[:2]), TENSORS[:2])


def test_records_outlive_the_process_that_wrote_them(records, path):
    records.write(3, TENSORS)
    with RecordFile(path, nbytes(TENSORS), "run") as again:
        assert_same(again.require(3, TENSORS), TENSORS)


def test_what_is_read_can_be_changed(records):
    records.write(0, TENSORS)
    records.require(0, TENSORS)[0].zero_()
    assert_same(records.require(0, TENSORS), TENSORS)


def test_tensors_without_entries_keep_their_place(records):
    tensors = [torch.ones(2), torch.empty(1, 0, 3), torch.zeros(2)]
    records.write(0, tensors)
    assert_same(records.require(0, tensors), tensors)


def test_slots_never_written_hold_nothing(records):
    assert records.read(0, TENSORS) is None
    records.write(2, TENSORS)
    assert records.read(1, TENSORS) is None
    assert records.read(3, TENSORS) is None


def test_every_flipped_bit_is_seen(records, path):
    records.write(0, TENSORS)
    intact = path.read_bytes()
    for position in range(len(intact)):
        for bit in (0, 7):
            damaged = bytearray(intact)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            assert records.read(0, TENSORS) is None
    path.write_bytes(intact)
    assert_same(records.require(0, TENSORS), TENSORS)


def test_every_torn_record_is_seen(records, path):
    records.write(0, TENSORS)
    intact = path.read_bytes()
    for length in range(len(intact)):
        path.write_bytes(intact[:length])
        assert records.read(0, TENSORS) is None
    records.write(0, OTHERS)
    newer = path.read_bytes()
    path.write_bytes(newer[:40] + intact[40:])
    assert records.read(0, TENSORS) is None


def test_records_of_another_run_hold_nothing(records, path):
    records.write(0, TENSORS)
    with RecordFile(path, nbytes(TENSORS), "other run") as other:
        assert other.read(0, TENSORS) is None
        with pytest.raises(IntegrityError, match="record 0 is missing or damaged"):
            other.require(0, TENSORS)


def test_a_record_of_another_number_in_its_slot_is_not_the_one_required(records, path):
    with Journal(path, nbytes(TENSORS), "run") as journal:
        journal.write(4, TENSORS)  # the first of two slots
    with pytest.raises(IntegrityError, match=rf"{path}: record 0 .* run again to compute it anew"):
        records.require(0, TENSORS)


def test_a_record_of_other_tensors_is_refused(records):
    records.write(0, TENSORS[:2])
    with pytest.raises(IntegrityError, match="a record of 48 bytes where 32 are expected"):
        records.read(0, TENSORS[:1])


def test_a_record_too_large_for_its_slot_is_a_mistake_of_the_caller(records, path):
    with pytest.raises(ValueError, match="in slots of"):
        records.write(0, [*TENSORS, torch.zeros(1)])
    assert path.stat().st_size == 0


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free space or choose another folder"),
        (errno.EDQUOT, "free space or choose another folder"),
        (errno.EIO, "check the disk"),
    ],
)
def test_a_full_or_failing_disk_is_told(records, path, monkeypatch, number, advice):
    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(ResourceError, match=f"{path}: .*{advice}.*, then run again"):
        records.write(0, TENSORS)


def test_a_partial_write_is_completed(records, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: whole(file, data[:5], offset))
    records.write(1, TENSORS)
    assert_same(records.require(1, TENSORS), TENSORS)


def test_a_path_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ResourceError, match="absent/records: cannot be written: No such file"):
        RecordFile(tmp_path / "absent" / "records", 8, "run")


def test_a_full_disk_ends_a_sweep_with_one_line(tiny_model, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(ResourceError, match="No space left on device"):
        adjoint(tiny_model, random_ids(20), None, 5)


@pytest.mark.parametrize("change", ["one unit in the last place", "missing"])
def test_the_adjoint_refuses_states_that_the_replay_does_not_reach(tiny_model, path, change):
    plan, blank = Plan(40, 10), tiny_model.initial_state(1)
    ids = random_ids(40)[None]

    def read(start, stop):
        return tiny_model.one_hot(ids[:, start:stop])

    with StoredStates(path, blank, "run") as states:
        for step in sweep.primal(tiny_model, read, plan, blank):
            if (step.k + 1, change) != (2, "missing"):
                states[step.k + 1] = step.state
            if (step.k + 1, change) == (2, "one unit in the last place"):
                moved = step.state.map(torch.clone)
                numbers = moved.tensors()[1].view(-1)
                numbers[3] = torch.nextafter(numbers[3], torch.tensor(9.0).double())
                states[2] = moved
        tiles = sweep.adjoint(tiny_model, read, plan, [Likelihood()], states, blank)
        cause = "record 2 is missing" if change == "missing" else "tile [12]: the state that was"
        given = []
        with pytest.raises(IntegrityError, match=rf"{cause}.*run again"):
            given.extend(tile.k for tile in tiles)  # a pipeline may read ahead of what it gives
        assert 1 not in given
