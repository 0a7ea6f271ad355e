"""Threads that do what they are given as soon as what it depends on is done."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
import torch
from threads import threads_as_before

from pgf_genome.engine.threads import Workers, side_by_side
from pgf_genome.errors import UsageError


@pytest.fixture(params=[1, 2, 3])
def workers(request):
    """Workers of one to three threads."""
    return Workers(request.param, 3)


def test_futures_among_the_arguments_are_replaced_by_their_results(workers):
    two = workers.submit(lambda: 2)
    six = workers.submit(lambda a, b: a * b, two, 3)
    assert workers.submit(lambda a, b: a - b, six, two).result() == 4


@pytest.fixture
def two_threads():
    return Workers(2, 2)


@pytest.mark.parametrize(
    ("pieces", "threads", "each"), [(1, 3, 3), (2, 2, 1), (2, 5, 2), (4, 3, 1)]
)
def test_every_worker_has_its_share_of_the_threads_and_the_caller_keeps_its_own(
    pieces, threads, each
):
    with threads_as_before() as set_threads:
        set_threads(1)
        found = side_by_side(lambda _: torch.get_num_threads(), range(pieces), threads)
        found.append(Workers(pieces, threads).submit(torch.get_num_threads).result())
        assert found == [each] * (pieces + 1)
        assert torch.get_num_threads() == 1


def test_without_a_number_the_threads_are_those_of_the_caller():
    with threads_as_before() as set_threads:
        set_threads(2)
        assert side_by_side(lambda _: torch.get_num_threads(), [0]) == [2]
        assert side_by_side(lambda _: torch.get_num_threads(), [0, 1]) == [1, 1]


def test_of_what_can_be_done_what_was_submitted_first_is_done_first(two_threads):
    stay, go, order = threading.Event(), threading.Event(), []
    two_threads.submit(stay.wait)  # leaves one thread
    gate = two_threads.submit(go.wait)
    last = [two_threads.submit(lambda _: order.append("first"), gate)]
    last += [two_threads.submit(order.append, i) for i in range(3)]
    go.set()
    for future in last:
        future.result()
    stay.set()
    assert order == ["first", 0, 1, 2]


def test_nobody_waits_in_a_thread_for_what_is_not_done(two_threads):
    go = threading.Event()
    first = two_threads.submit(go.wait)
    waiting = [two_threads.submit(lambda _: None, first) for _ in range(4)]
    assert two_threads.submit(lambda: "done").result(timeout=20) == "done"
    assert not any(future.done() for future in waiting)
    go.set()


def test_an_error_reaches_whoever_asks_for_a_result_that_depends_on_it(workers):
    broken = workers.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda a: a, broken).result()


def test_what_was_done_is_forgotten_without_the_garbage_collector(workers):
    class Tape:
        pass

    gc.disable()
    try:
        tape = workers.submit(Tape)
        after = workers.submit(lambda tape: 1, tape)
        for _ in range(5):
            after = workers.submit(lambda tape, before: before + 1, tape, after)
        assert after.result() == 6
        gone = weakref.ref(tape.result())
        del tape
        deadline = time.monotonic() + 20  # a thread may still be leaving its last task
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", 100_000])
def test_a_number_of_threads_that_cannot_be_had_is_refused(threads):
    with pytest.raises(UsageError, match="`threads` must be a whole number from 1 to 1024"):
        side_by_side(lambda _: None, [0], threads)
