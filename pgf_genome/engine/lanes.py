"""Independent pieces of work side by side, each in a thread with a part of the threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from queue import PriorityQueue
from typing import Any, TypeVar

import torch
from torch import Tensor

Lane = TypeVar("Lane")
Result = TypeVar("Result")


def lanes_of(x: Tensor) -> list[slice]:
    """Parts of a batch that can run side by side: single sequences on a CPU, else all at once.

    They do not depend on the number of threads, so that equal plans give equal bytes.
    """
    size = 1 if x.is_cpu else len(x)
    return [slice(b, b + size) for b in range(0, len(x), size)]


def side_by_side(step: Callable[[Lane], Result], lanes: Sequence[Lane]) -> list[Result]:
    """``step(lane)`` of every lane, in a thread each as far as threads go.

    Two threads on two sequences outrun two that share every operation, by a fifth to two fifths.
    """
    threads = torch.get_num_threads()
    workers = min(len(lanes), threads)
    if workers == 1:
        return [step(lane) for lane in lanes]
    return list(_pool(workers, threads // workers).map(step, lanes))


@cache
def _pool(workers: int, threads_each: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "pgf-lane", torch.set_num_threads, (threads_each,))


class Workers:
    """Threads that do what they are given as soon as what it depends on is done.

    Of what can be done, they do first what was submitted first. So a program that submits its
    steps in the order of a single thread runs side by side as far as its steps depend on each
    other.

    Parameters
    ----------
    most : int
        Threads at most; each has its part of those of torch. With one, work is done when it is
        submitted.
    """

    def __init__(self, most: int) -> None:
        threads = torch.get_num_threads()
        count = min(most, threads)
        self._pool = _pool(count, threads // count) if count > 1 else None
        self._numbers = itertools.count()
        self._ready: PriorityQueue[_Task] = PriorityQueue()

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
