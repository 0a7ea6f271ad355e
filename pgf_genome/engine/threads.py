"""Independent pieces of work side by side, each in a thread with its share of the threads.

How many threads there are is an argument. The matrix products and kernels of one thread use torch's
count, which in torch's OpenMP builds is a setting of the thread that calls ``set_num_threads``.
Here, and nowhere else in the engine, workers are given theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from numbers import Integral
from queue import PriorityQueue
from typing import Any, TypeVar

import torch

from pgf_genome.errors import UsageError

MOST = (
    1024  # more threads than any machine here has; without a limit a typing error ends in a crash
)

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(
    step: Callable[[Piece], Result], pieces: Sequence[Piece], threads: int | None = None
) -> list[Result]:
    """``step(piece)`` of every piece, in a thread each as far as ``threads`` go.

    Two threads on two sequences outrun two that share every operation, by a fifth to two fifths.
    """
    pool = _pool(max(len(pieces), 1), threads)
    return [*map(step, pieces)] if pool is None else [*pool.map(step, pieces)]


def checked(threads: int | None) -> int | None:
    """A number of threads that can be had, or None.

    Raises
    ------
    UsageError
        For anything else.
    """
    if threads is None or (isinstance(threads, Integral) and 1 <= threads <= MOST):
        return threads if threads is None else int(threads)
    raise UsageError(f"`threads` must be a whole number from 1 to {MOST}, not {threads!r}")


def _pool(most: int, threads: int | None) -> ThreadPoolExecutor | None:
    """At most so many workers that share the threads; None for the calling thread as it is."""
    own = torch.get_num_threads()
    threads = checked(threads) or own
    workers = min(most, threads)
    return None if workers == 1 and threads == own else _workers(workers, threads // workers)


@cache
def _workers(count: int, threads_each: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "pgf-worker", _use, (threads_each,))


def _use(threads: int) -> None:
    """Set torch's count of the calling thread, to stay."""
    # a thread takes the count that was set last, by any thread, when it first asks for its own
    torch.get_num_threads()
    torch.set_num_threads(threads)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let the calling thread use so many threads for its own operations; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(checked(count) or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Workers:
    """Threads that do what they are given as soon as what it depends on is done.

    Among tasks that are ready, the one submitted first runs first. So a program that submits its
    steps in the order of a single thread runs side by side as far as its steps depend on each
    other.

    Parameters
    ----------
    most : int
        Workers at most.
    threads : int, optional
        Threads that they share; torch's count if None. With one worker, work is done when it is
        submitted.
    """

    def __init__(self, most: int, threads: int | None = None) -> None:
        self._pool = _pool(most, threads)
        self._numbers = itertools.count()
        self._ready: PriorityQueue[_Task] = PriorityQueue()

    @property
    def inline(self) -> bool:
        """True if work is done in the calling thread, with torch's count as it is there."""
        return self._pool is None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """The future of ``function(*arguments)``; futures among the arguments are waited for."""
        task = _Task(next(self._numbers), function, arguments)
        self._enqueue(task, [a for a in arguments if isinstance(a, Future)])
        return task.done

    def _enqueue(self, task: _Task, missing: list[Future]) -> None:
        if missing:
            first, *others = missing
            first.add_done_callback(lambda _: self._enqueue(task, others))
        elif self._pool is None:
            task.run()
        else:
            self._ready.put(task)
            self._pool.submit(self._run_first)

    def _run_first(self) -> None:
        self._ready.get().run()


@dataclass(order=True)
class _Task:
    number: int
    function: Callable[..., Any] = field(compare=False)
    arguments: Sequence[Any] = field(compare=False)
    done: Future = field(compare=False, default_factory=Future)

    def run(self) -> None:
        # futures remember who waited for them: what a task was given is not kept alive
        arguments, self.arguments = self.arguments, ()
        try:
            given = [a.result() if isinstance(a, Future) else a for a in arguments]
            self.done.set_result(self.function(*given))
        except BaseException as error:  # whoever asks for the result gets it
            self.done.set_exception(error)
