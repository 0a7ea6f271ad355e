"""Records on disk that a killed run can trust: boundary states, scores, progress.

A record file has slots of one size. Each record carries its number, its tensors and a checksum over
them and over the identity of the run, so that a torn write, another run's file or a flipped bit
is seen when the record is read. Reads and writes never map the file: resident memory stays flat.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pgf_genome.errors import IntegrityError, ResourceError
from pgf_genome.mamba.state import State

_HEADER = struct.Struct("<qq")  # number, bytes of payload
_DIGEST = 16


class DamagedError(IntegrityError):
    """A record that must be there is missing, torn, changed, or of another run."""


class RecordFile:
    """Checksummed records, by number from 0.

    Parameters
    ----------
    path : Path
        Created if absent, kept if present.
    slot_bytes : int
        Largest payload of a record.
    identity : str
        What the records belong to; records of another identity do not validate.
    at : int
        Byte of the file at which record 0 lies, so that several rows of records can share a file.
    """

    def __init__(self, path: Path, slot_bytes: int, identity: str, at: int = 0) -> None:
        self.path = path
        self._at = at
        self._stride = record_bytes(slot_bytes)
        self._slot_bytes = slot_bytes
        self._salt = hashlib.blake2b(identity.encode(), digest_size=_DIGEST).digest()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ResourceError(f"{path}: cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)

    def write(self, number: int, tensors: Sequence[Tensor]) -> None:
        """Store a record.

        Raises
        ------
        ResourceError
            When the disk is full or fails.
        """
        self._write(number, number, tensors)

    def _write(self, slot: int, number: int, tensors: Sequence[Tensor]) -> None:
        payload = b"".join(t.detach().cpu().contiguous().numpy().tobytes() for t in tensors)
        if len(payload) > self._slot_bytes:
            raise ValueError(f"a record of {len(payload)} bytes in slots of {self._slot_bytes}")
        head = _HEADER.pack(number, len(payload))
        record = memoryview(head + payload + self._digest(head, payload))
        offset = self._at + slot * self._stride
        try:
            while record:
                done = os.pwrite(self._file, record, offset)
                record, offset = record[done:], offset + done
        except OSError as error:
            advice = (
                "free space or choose another folder (`scratch_dir`, TMPDIR), "
                "then run again to resume"
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                else "check the disk, then run again to resume"
            )
            raise ResourceError(f"{self.path}: {error.strerror}; {advice}") from error

    def read(self, number: int, like: Sequence[Tensor]) -> list[Tensor] | None:
        """The tensors of a record, with the shapes and dtypes of ``like``.

        None if the record was never written, was torn, or belongs to another run.
        """
        found = self._read(number, like)
        return found[1] if found and found[0] == number else None

    def _read(self, slot: int, like: Sequence[Tensor]) -> tuple[int, list[Tensor]] | None:
        offset = self._at + slot * self._stride
        record = os.pread(self._file, _HEADER.size + nbytes(like) + _DIGEST, offset)
        if len(record) < _HEADER.size:
            return None
        number, size = _HEADER.unpack_from(record)
        end = _HEADER.size + size
        if len(record) < end + _DIGEST <= self._stride:
            record = os.pread(self._file, end + _DIGEST, offset)
        head, payload = record[: _HEADER.size], record[_HEADER.size : end]
        if size > self._slot_bytes or record[end : end + _DIGEST] != self._digest(head, payload):
            return None
        return number, _unpack(payload, like)

    def require(self, number: int, like: Sequence[Tensor]) -> list[Tensor]:
        """Read a record that must be there.

        Raises
        ------
        DamagedError
            If the record is missing or damaged.
        """
        found = self.read(number, like)
        if found is None:
            raise DamagedError(
                f"{self.path}: record {number} is missing or damaged; check the disk, then run "
                "again to compute it anew"
            )
        return found

    def _digest(self, head: bytes, payload: bytes) -> bytes:
        digest = hashlib.blake2b(self._salt, digest_size=_DIGEST)
        digest.update(head)
        digest.update(payload)
        return digest.digest()


class Journal:
    """The last two of a row of records, in two slots that take turns.

    A write that is torn leaves the record before it. Parameters are those of `RecordFile`.
    """

    def __init__(self, path: Path, slot_bytes: int, identity: str) -> None:
        self._file = RecordFile(path, slot_bytes, identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, number: int, tensors: Sequence[Tensor]) -> None:
        """Store a record in place of the record before the last one."""
        self._file._write(number % 2, number, tensors)

    def records(self, like: Sequence[Tensor]) -> dict[int, list[Tensor]]:
        """The records that are whole, by number."""
        return dict(found for slot in (0, 1) if (found := self._file._read(slot, like)))


class StoredStates(RecordFile):
    """The states before the tiles of a primal sweep: ``states[k]`` is the one before tile k.

    Parameters
    ----------
    blank : State
        The state before tile 0, which is not stored.
    """

    def __init__(self, path: Path, blank: State, identity: str) -> None:
        super().__init__(path, nbytes(blank.tensors()), identity)
        self._blank = blank

    def __getitem__(self, k: int) -> State:
        tensors = self._blank.tensors()
        return self._blank.filled(self.require(k, tensors)) if k else self._blank

    def __setitem__(self, k: int, state: State) -> None:
        self.write(k, state.tensors())

    def whole(self, at_most: int) -> int:
        """The last tile, up to ``at_most``, that can be reached through stored states."""
        k, like = 0, self._blank.tensors()
        while k < at_most and self.read(k + 1, like) is not None:
            k += 1
        return k


class StoredCotangents(RecordFile):
    """What an adjoint sweep has come to at the start of every tile that it has done.

    ``cotangents[k]`` is the sum of the terms of F at tile k and after it, () float64, and its
    derivative with respect to the state before tile k. None where the sweep has not been.

    Parameters
    ----------
    blank : State
        A state of the model.
    """

    def __init__(self, path: Path, blank: State, identity: str) -> None:
        total = torch.zeros((), dtype=torch.float64, device=blank.log_probs.device)
        self._like = [total, *blank.tensors()]
        super().__init__(path, nbytes(self._like), identity)
        self._blank = blank

    def __getitem__(self, k: int) -> tuple[Tensor, State] | None:
        found = self.read(k, self._like)
        return None if found is None else (found[0], self._blank.filled(found[1:]))

    def __setitem__(self, k: int, reached: tuple[Tensor, State]) -> None:
        remaining, cotangent = reached
        self.write(k, [remaining.double(), *cotangent.tensors()])


def nbytes(tensors: Sequence[Tensor]) -> int:
    """Bytes of a record's payload."""
    return sum(t.numel() * t.element_size() for t in tensors)


def record_bytes(payload: int) -> int:
    """Bytes that a record of so many bytes takes in a file."""
    return _HEADER.size + payload + _DIGEST


def _unpack(payload: bytes, like: Sequence[Tensor]) -> list[Tensor]:
    if len(payload) != nbytes(like):
        raise DamagedError(f"a record of {len(payload)} bytes where {nbytes(like)} are expected")
    tensors, offset = [], 0
    for t in like:
        stored = torch.empty(t.shape, dtype=t.dtype)
        raw = stored.numpy().reshape(-1).view(np.uint8)
        raw[:] = np.frombuffer(payload, np.uint8, raw.size, offset)
        tensors.append(stored.to(t.device))
        offset += raw.size
    return tensors
