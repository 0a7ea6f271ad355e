"""The steps of a sweep over the layers, one after the other, or those that are left."""

from __future__ import annotations

from torch import Tensor

from pgf_genome.engine.layerwise import ends, schedule
from pgf_genome.engine.layerwise.context import Layers
from pgf_genome.engine.layerwise.ends import Found, Seen
from pgf_genome.engine.layerwise.passes import Back, Forth
from pgf_genome.engine.layerwise.schedule import Step


def sweep(layers: Layers, seen: Seen, found: Found = lambda k, gradient: None) -> Tensor | None:
    """Go through all steps, or those that a killed run has left.

    Parameters
    ----------
    seen, found : callable
        Called for every tile, ascending, ``found`` after all of ``seen``. Where a killed run goes
        on, it calls them for what it may not have stored, and not for what is done.

    Returns
    -------
    Tensor, (batch,) float64
        F; None without objectives.

    Raises
    ------
    IntegrityError
        When a record is missing or damaged.
    ResourceError
        When the disk is full or fails.
    """
    steps, store = layers.steps, layers.store
    mark = [layers.mark]
    try:
        for s, step in enumerate(steps):
            if store.table("steps", layers.mark.nbytes).get(s, mark)() is not None:
                layers.advance(step.work * layers.plan.length)
                continue
            store.keep({"steps", *schedule.needed(steps[s:]), *step.writes})
            _take(layers, step, seen, found)
            store.flush()
            store.table("steps", layers.mark.nbytes).put(s, mark)
        store.flush()
        return None if layers.objectives is None else ends.values(layers)
    except BaseException:
        layers.stopped.set()  # threads end at their next tile
        raise


def _take(layers: Layers, step: Step, seen: Seen, found: Found) -> None:
    match step.kind:
        case "forth":
            Forth(layers, step).run()
        case "back":
            Back(layers, step).run()
        case "head":
            ends.head(layers, seen)
        case "input":
            ends.inputs(layers, found)
