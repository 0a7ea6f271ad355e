"""Tables of records by slot, in memory or in checksummed files that a thread reads and writes.

A sweep over the layers of a bidirectional model leaves rows of activations, and the states at the
boundaries of tiles. Where they lie does not change a number.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Self

from torch import Tensor

from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.errors import ResourceError

# Writes that may wait for the disk before whoever writes waits too.
WRITES = 16

# Waits for what is read: the tensors of a record, or None if there is no such record.
Pending = Callable[[], list[Tensor] | None]


class Table(ABC):
    """Records in slots; each has a number, by which it is told from others of its slot."""

    @abstractmethod
    def put(self, number: int, tensors: Sequence[Tensor], slot: int | None = None) -> None:
        """Store a record; the tensors must not change afterwards."""

    @abstractmethod
    def get(self, number: int, like: Sequence[Tensor], slot: int | None = None) -> Pending:
        """Begin to read a record of the shapes and dtypes of ``like``."""


class Store(ABC):
    """Tables by name.

    Attributes
    ----------
    read, written : int
        Bytes so far.
    waited : float
        Seconds that whoever computes has waited for reads and writes.
    """

    def __init__(self) -> None:
        self.read, self.written, self.waited = 0, 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def table(self, name: str, slot_bytes: int) -> Table:
        """The table of that name; it is made if there is none."""

    @abstractmethod
    def keep(self, names: Collection[str]) -> None:
        """Remove all tables but these."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything is written."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the store holds; what lies in files stays there."""


class MemoryStore(Store):
    """Tables in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[str, _MemoryTable] = {}

    def table(self, name: str, slot_bytes: int) -> Table:
        return self._tables.setdefault(name, _MemoryTable())

    def keep(self, names: Collection[str]) -> None:
        self._tables = {name: self._tables[name] for name in names if name in self._tables}

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._tables.clear()


class _MemoryTable(Table):
    def __init__(self) -> None:
        self._records: dict[int, tuple[int, list[Tensor]]] = {}

    def put(self, number: int, tensors: Sequence[Tensor], slot: int | None = None) -> None:
        # a view would keep alive whatever it is a view of
        copies = [t.detach().clone() for t in tensors]
        self._records[number if slot is None else slot] = number, copies

    def get(self, number: int, like: Sequence[Tensor], slot: int | None = None) -> Pending:
        found, tensors = self._records.get(number if slot is None else slot, (None, None))
        return lambda: tensors if found == number else None


class FileStore(Store):
    """Tables in checksummed files of a folder, which one thread reads and writes.

    What was put before a process was killed is there for the next one, and is the same, or is found
    to be damaged.

    Parameters
    ----------
    folder : Path
        Made if absent.
    identity : str
        What the records belong to; records of another identity do not validate.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        super().__init__()
        self.folder, self._identity = folder, identity
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ResourceError(f"{folder}: cannot be made: {error.strerror}") from error
        self._files: dict[str, RecordFile] = {}
        self._thread = ThreadPoolExecutor(1, "pgf-store")
        self._writes: deque[Future[None]] = deque()
        self._failed: BaseException | None = None  # the first write that did
        self._lock = Lock()

    def table(self, name: str, slot_bytes: int) -> Table:
        if name not in self._files:
            identity = f"{self._identity} {name}"
            self._files[name] = RecordFile(self.folder / name, slot_bytes, identity)
        return _FileTable(self, self._files[name])

    def keep(self, names: Collection[str]) -> None:
        self.flush()
        for name in [name for name in self._files if name not in names]:
            self._files.pop(name).close()
        for path in self.folder.iterdir():
            if path.name not in names:
                path.unlink()

    def flush(self) -> None:
        while self._writes:
            self._wait(self._writes.popleft())

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        for file in self._files.values():
            file.close()
        self._files.clear()

    def begin(self, size: int, action: Callable[..., Any], *given: Any) -> Pending:
        """Begin to read."""
        self.read += size
        return partial(self._wait, self._thread.submit(action, *given))

    def write(self, size: int, action: Callable[..., None], *given: Any) -> None:
        """Write after whatever was given before."""
        with self._lock:
            self.written += size
            self._writes.append(self._thread.submit(self._do, action, *given))
            done = self._writes.popleft() if len(self._writes) > WRITES else None
        if done is not None:
            self._wait(done)

    def _do(self, action: Callable[..., None], *given: Any) -> None:
        try:
            if self._failed is None:  # what comes after it must not be there without it
                action(*given)
        except BaseException as error:
            self._failed = error

    def _wait(self, future: Future) -> Any:
        started = time.monotonic()
        result = future.result()
        with self._lock:
            self.waited += time.monotonic() - started
        if self._failed is not None:
            raise self._failed
        return result


class _FileTable(Table):
    def __init__(self, store: FileStore, file: RecordFile) -> None:
        self._store, self._file = store, file

    def put(self, number: int, tensors: Sequence[Tensor], slot: int | None = None) -> None:
        self._store.write(nbytes(tensors), self._file.write, number, tensors, slot)

    def get(self, number: int, like: Sequence[Tensor], slot: int | None = None) -> Pending:
        return self._store.begin(nbytes(like), self._file.read, number, like, slot)
