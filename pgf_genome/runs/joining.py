"""Records of several runs joined to one, by a rule that every field declares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from pgf_genome.runs.schema import encoded

Rule = Callable[[Sequence[Any]], Any]
T = TypeVar("T")


class DifferenceError(ValueError):
    """A field that has to be equal in all records and is not.

    Attributes
    ----------
    which : int
        Index of the first record that differs from record 0.
    name : str
        The field, such as ``arguments.method``.
    theirs, first : str
        The two values, as JSON.
    """

    def __init__(self, which: int, name: str, theirs: Any, first: Any) -> None:
        self.which, self.name = which, name
        self.theirs, self.first = json.dumps(encoded(theirs)), json.dumps(encoded(first))
        super().__init__(f"{name} is {self.theirs} where it is {self.first} elsewhere")


def joined_by(rule: Rule) -> dict[str, Rule]:
    """The metadata of a dataclass field whose values are joined by a rule.

    Fields without a rule have to be equal, and dataclasses in them are joined field by field.
    """
    return {"join": rule}


def concatenated(values: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """One tuple after the other."""
    return tuple(item for value in values for item in value)


def agreed(values: Sequence[T]) -> T | None:
    """What all agree on, else None."""
    return values[0] if all(value == values[0] for value in values) else None


def left_out(values: Sequence[Any]) -> None:
    """Nothing: the value says nothing of the whole."""


def joined(records: Sequence[T], name: str = "") -> T:
    """Join records of one dataclass, field by field.

    Raises
    ------
    DifferenceError
        If a field that has no rule differs.
    """
    changes: dict[str, Any] = {}
    for each in fields(records[0]):  # type: ignore[arg-type]
        values = [getattr(record, each.name) for record in records]
        rule = each.metadata.get("join")
        inner = f"{name}.{each.name}".removeprefix(".")
        if rule is not None:
            changes[each.name] = rule(values)
        elif all(map(is_dataclass, values)):
            changes[each.name] = joined(values, inner)
        else:
            _require_equal(values, inner)
    return replace(records[0], **changes)  # type: ignore[type-var]


def _require_equal(values: Sequence[Any], name: str) -> None:
    first = values[0]
    for which, value in enumerate(values):
        if isinstance(value, Mapping) and isinstance(first, Mapping):
            for key in {**first, **value}:
                if value.get(key) != first.get(key):
                    raise DifferenceError(which, f"{name}.{key}", value.get(key), first.get(key))
        elif value != first:
            raise DifferenceError(which, name, value, first)
