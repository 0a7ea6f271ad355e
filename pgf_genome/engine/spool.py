"""Records on disk that a killed run can trust: boundary states, scores, progress.

A record file has slots of one size. Each record carries its number, its tensors and a checksum over
them and over the identity of the run, so that a torn write, another run's file or a flipped bit
is seen when the record is read. Reads and writes never map the file: resident memory stays flat.
The tensors enter the checksum by their CRC-32, because gigabytes of activations pass through.
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
from isal import isal_zlib
from torch import Tensor

from pgf_genome.errors import IntegrityError, ResourceError
from pgf_genome.mamba.state import State

_HEADER = struct.Struct("<qq")  # number, bytes of payload
_CHECK = struct.Struct("<I")  # CRC-32 of the payload
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

    def write(self, number: int, tensors: Sequence[Tensor], slot: int | None = None) -> None:
        """Store a record.

        Parameters
        ----------
        slot : int, optional
            Its place in the file, where that is not its number.

        Raises
        ------
        ResourceError
            When the disk is full or fails.
        """
        payload = [_bytes_of(t.detach().cpu()) for t in tensors]
        size = sum(map(len, payload))
        if size > self._slot_bytes:
            raise ValueError(f"a record of {size} bytes in slots of {self._slot_bytes}")
        head = _HEADER.pack(number, size)
        offset = self._at + (number if slot is None else slot) * self._stride
        try:
            offset = self._put(memoryview(head), offset)
            for part in payload:
                offset = self._put(part.data, offset)
            self._put(memoryview(self._digest(head, payload)), offset)
        except OSError as error:
            advice = (
                "free space or choose another folder (`scratch_dir`, TMPDIR), "
                "then run again to resume"
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                else "check the disk, then run again to resume"
            )
            raise ResourceError(f"{self.path}: {error.strerror}; {advice}") from error

    def _put(self, part: memoryview, offset: int) -> int:
        while part:
            done = os.pwrite(self._file, part, offset)
            part, offset = part[done:], offset + done
        return offset

    def read(
        self, number: int, like: Sequence[Tensor], slot: int | None = None
    ) -> list[Tensor] | None:
        """The tensors of a record, with the shapes and dtypes of ``like``.

        None if the record was never written, was torn, or belongs to another run.
        """
        found = self.read_slot(number if slot is None else slot, like)
        return found[1] if found and found[0] == number else None

    def read_slot(self, slot: int, like: Sequence[Tensor]) -> tuple[int, list[Tensor]] | None:
        """The number and the tensors of whatever record a slot holds."""
        offset = self._at + slot * self._stride
        head = os.pread(self._file, _HEADER.size, offset)
        if len(head) < _HEADER.size:
            return None
        _, size = _HEADER.unpack(head)
        if not 0 <= size <= self._slot_bytes:
            return None
        tensors = [torch.empty(t.shape, dtype=t.dtype) for t in like]
        expected = size == nbytes(like)
        payload = [_bytes_of(t) for t in tensors] if expected else [bytearray(size)]
        digest = bytearray(_DIGEST)
        found = os.preadv(self._file, [*payload, digest], offset + _HEADER.size)
        if found < size + _DIGEST or digest != self._digest(head, payload):
            return None
        if not expected:
            raise DamagedError(f"a record of {size} bytes where {nbytes(like)} are expected")
        number, _ = _HEADER.unpack(head)
        return number, [t.to(each.device) for t, each in zip(tensors, like, strict=True)]

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

    def _digest(self, head: bytes, payload: Sequence[np.ndarray | bytearray]) -> bytes:
        check = 0
        for part in payload:
            check = isal_zlib.crc32(part, check)
        found = hashlib.blake2b(self._salt, digest_size=_DIGEST)
        found.update(head + _CHECK.pack(check))
        return found.digest()


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
        self._file.write(number, tensors, slot=number % 2)

    def records(self, like: Sequence[Tensor]) -> dict[int, list[Tensor]]:
        """The records that are whole, by number."""
        return dict(found for slot in (0, 1) if (found := self._file.read_slot(slot, like)))


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


def _bytes_of(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor on the CPU, shared with it if its numbers lie in order."""
    return tensor.contiguous().numpy().reshape(-1).view(np.uint8)
