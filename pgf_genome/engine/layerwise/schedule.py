"""The order in which the layers of a bidirectional model are gone through, as data.

    forth i   h_{i+1} from h_i, and the states of both mixers at the boundaries of tiles
    head      F from h_n, and its cotangent
    back i    the cotangent of h_i from that of h_{i+1}
    input     dF / dX from the cotangent of h_0

h_0 is the embedded input, which is made whenever it is read. A table is there from the step that
writes it to the last one that reads it; between, it may be dropped and made again: with
``store_every`` K only every K-th h is there throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

# Work of a step on a position, in forward passes of one layer.
WORK = {"forth": 1, "head": 0, "back": 3, "input": 0}


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    kind : str
        "forth", "head", "back" or "input".
    layer : int
        Of a step over a layer.
    reads, writes : tuple of str
        Names of tables.
    """

    kind: str
    layer: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def work(self) -> int:
        return WORK[self.kind]


def forth(i: int) -> Step:
    """The step from h_i to h_{i+1}."""
    return Step("forth", i, _hidden(i), (f"h{i + 1}", f"states{i}"))


def steps_of(n_layer: int, store_every: int = 1, backward: bool = True) -> list[Step]:
    """All steps, of the forward passes alone if not ``backward``."""
    steps = [forth(i) for i in range(n_layer)]
    if not backward:
        return [*steps, Step("head", 0, (f"h{n_layer}",), ("observed",))]
    steps.append(Step("head", 0, (f"h{n_layer}",), ("observed", f"bar{n_layer}", "direct")))
    for i in reversed(range(n_layer)):
        first = i - i % store_every
        if i % store_every == store_every - 1 and i < n_layer - 1:
            steps += [forth(j) for j in range(first, i)]
        reads = *_hidden(i), f"states{i}", f"bar{i + 1}"
        steps.append(Step("back", i, reads, (f"bar{i}", f"cotangents{i}")))
    steps.append(Step("input", 0, ("bar0", "direct", "observed"), ("found",)))
    return steps


def _hidden(i: int) -> tuple[str, ...]:
    return (f"h{i}",) if i else ()


def needed(steps: Sequence[Step]) -> frozenset[str]:
    """The tables that must be there before the first of the steps."""
    names: frozenset[str] = frozenset()
    for step in reversed(steps):
        names = names - set(step.writes) | set(step.reads)
    return names


def alive(steps: Sequence[Step]) -> Iterator[frozenset[str]]:
    """The tables that are there during each of the steps."""
    for s, step in enumerate(steps):
        yield needed(steps[s:]) | needed(steps[s + 1 :]) | set(step.writes)


def most(steps: Sequence[Step], size: Callable[[str], int]) -> int:
    """The largest sum of sizes of the tables that are there at a time."""
    return max(sum(map(size, names)) for names in alive(steps))


def tables(steps: Sequence[Step]) -> frozenset[str]:
    """The names of all tables."""
    return frozenset(chain.from_iterable((*s.reads, *s.writes) for s in steps))
