"""Frozen dataclasses to JSON and back; their annotations are the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def encoded(value: Any) -> Any:
    """Turn a value into what JSON can hold; fields that have their default are left out."""
    if is_dataclass(value):
        held = {field.name: (getattr(value, field.name), field.default) for field in fields(value)}
        return {name: encoded(each) for name, (each, default) in held.items() if each != default}
    if isinstance(value, Mapping):
        return {key: encoded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(each) for each in value]
    return value


def decoded(kind: Any, value: Any, where: str) -> Any:
    """Make a value of an annotated type from what JSON held.

    Parameters
    ----------
    kind : type
        A dataclass of such types, a mapping with str as keys, a tuple, an optional type, a plain
        type, or Any.
    value : object
        As ``json.loads`` returns it.
    where : str
        Its place in the file, for errors: ``contigs[3].length``.

    Raises
    ------
    ValueError
        If it is not of that type, or the dataclass refuses it. Keys that the dataclass does not
        have are ignored.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, _checked(value, dict, where), where)
    if origin in (Union, UnionType):
        (other,) = (each for each in inner if each is not NoneType)
        return None if value is None else decoded(other, value, where)
    if origin is tuple:
        return tuple(_items(inner, _checked(value, list, where), where))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        items = _checked(value, dict, where).items()
        return {key: decoded(inner[1], each, f"{where}.{key}") for key, each in items}
    if kind is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    return _checked(value, kind, where)


def _dataclass(kind: Any, value: Mapping[str, Any], where: str) -> Any:
    hints, given = get_type_hints(kind), {}
    for field in fields(kind):
        name = f"{where}.{field.name}".removeprefix(".")
        if field.name in value:
            given[field.name] = decoded(hints[field.name], value[field.name], name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name} is missing")
    return kind(**given)


def _items(kinds: tuple[Any, ...], values: Sequence[Any], where: str) -> list[Any]:
    each = kinds[:1] * len(values) if kinds[-1] is Ellipsis else kinds
    if len(each) != len(values):
        raise ValueError(f"{where} has {len(values)} items, not {len(each)}")
    pairs = enumerate(zip(each, values, strict=True))
    return [decoded(kind, value, f"{where}[{i}]") for i, (kind, value) in pairs]


def _checked(value: Any, kind: type, where: str) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{where or 'all of it'} is a {type(value).__name__}, not {kind.__name__}")
    return value
