"""Records on disk that a killed run can trust: boundary states, scores, progress.

A record file has slots of one size. Each record carries a key, its tensors and a checksum over
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

_HEADER = struct.Struct("<qq")  # key, bytes of payload
_DIGEST = 16


class RecordFile:
    """Slots of checksummed tensors.

    Parameters
    ----------
    path : Path
        Created if absent, kept if present.
    slot_bytes : int
        Largest payload of a record.
    identity : str
        What the records belong to; records of another identity do not validate.
    """

    def __init__(self, path: Path, slot_bytes: int, identity: str) -> None:
        self.path = path
        self._stride = _HEADER.size + slot_bytes + _DIGEST
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

    def write(self, slot: int, key: int, tensors: Sequence[Tensor]) -> None:
        """Store tensors under a key; a later read of the slot returns both.

        Raises
        ------
        ResourceError
            When the disk is full or fails.
        """
        payload = b"".join(t.detach().cpu().contiguous().numpy().tobytes() for t in tensors)
        if len(payload) > self._slot_bytes:
            raise ValueError(f"a record of {len(payload)} bytes in slots of {self._slot_bytes}")
        head = _HEADER.pack(key, len(payload))
        record = memoryview(head + payload + self._digest(head, payload))
        offset = slot * self._stride
        try:
            while record:
                done = os.pwrite(self._file, record, offset)
                record, offset = record[done:], offset + done
        except OSError as error:
            advice = (
                "free space or choose another --scratch-dir, then run again to resume"
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                else "check the disk, then run again to resume"
            )
            raise ResourceError(f"{self.path}: {error.strerror}; {advice}") from error

    def read(self, slot: int, like: Sequence[Tensor]) -> tuple[int, list[Tensor]] | None:
        """Key and tensors of a slot with the shapes and dtypes of ``like``.

        None if the slot was never written, was torn, or belongs to another run.
        """
        record = os.pread(self._file, self._stride, slot * self._stride)
        if len(record) < _HEADER.size:
            return None
        key, size = _HEADER.unpack_from(record)
        end = _HEADER.size + size
        head, payload = record[: _HEADER.size], record[_HEADER.size : end]
        if size > self._slot_bytes or record[end : end + _DIGEST] != self._digest(head, payload):
            return None
        return key, _unpack(payload, like)

    def require(self, slot: int, like: Sequence[Tensor]) -> list[Tensor]:
        """The tensors stored in a slot under its own number.

        Raises
        ------
        IntegrityError
            When they are missing or damaged.
        """
        found = self.read(slot, like)
        if found is None or found[0] != slot:
            raise IntegrityError(
                f"{self.path}: record {slot} is missing or damaged; run again with --restart"
            )
        return found[1]

    def _digest(self, head: bytes, payload: bytes) -> bytes:
        digest = hashlib.blake2b(self._salt, digest_size=_DIGEST)
        digest.update(head)
        digest.update(payload)
        return digest.digest()


def nbytes(tensors: Sequence[Tensor]) -> int:
    """Bytes of a record's payload."""
    return sum(t.numel() * t.element_size() for t in tensors)


def _unpack(payload: bytes, like: Sequence[Tensor]) -> list[Tensor]:
    if len(payload) != nbytes(like):
        raise IntegrityError(f"a record of {len(payload)} bytes where {nbytes(like)} are expected")
    tensors, offset = [], 0
    for t in like:
        stored = torch.empty(t.shape, dtype=t.dtype)
        raw = stored.numpy().reshape(-1).view(np.uint8)
        raw[:] = np.frombuffer(payload, np.uint8, raw.size, offset)
        tensors.append(stored.to(t.device))
        offset += raw.size
    return tensors
