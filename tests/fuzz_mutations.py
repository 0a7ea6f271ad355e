"""Hostile variants of good input: bytes that are flipped, cut, repeated, spliced, packed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Changes a text; the tokens are words of its format.
Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]

NUMBERS = (
    b"0",
    b"-1",
    b"-0",
    b"1",
    b"+2",
    b"1_0",
    b"00000000000000000007",
    b"1e3",
    b"1.5",
    b"nan",
    b"inf",
    b"-inf",
    b"1e999",
    b"0x10",
    b"65536",
    b"2147483647",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"9" * 30,
    b"9" * 5000,
    "\u0664\u0662".encode(),
    "\u00b2".encode(),
    b"1,000",
    b" 7",
    b"",
)
TEXTS = (
    b"\x00",
    b"\x1b[31m",
    b"\x07",
    b"\x7f",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\t",
    b"\t\t",
    b"\x0b",
    b"\x0c",
    b"\x85",
    b" ",
    b"\r",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\xef\xbb\xbf",
    "\u00e9\u03bb\u6f22".encode(),
    "\u202egpj.exe".encode(),
    "\u2028".encode(),
    "\U0001f9ec".encode(),
    "\u00a0".encode(),
    b"</script><img src=x onerror=alert(1)>",
    b"'\"`$(id)",
    b"../../../etc/passwd",
    b"%s%n{0}",
    b"A" * 4096,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3.5,
    10**30,
    -(2**63),
    1e308,
    float("inf"),
    float("nan"),
    "",
    "x",
    "\ud800",
    "\u202e\n\x00",
    "N" * 5000,
    "../x",
    "float32",
    [],
    {},
    [[]],
    [None],
    [0, 1],
    {"": None},
    {"content": 1},
    ["MambaForCausalLM"],
)


def flipped(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Other values of some bytes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8)) if data else 0):
        at = random.randrange(len(changed))
        changed[at] = random.choice((random.randrange(256), changed[at] ^ 1 << random.randrange(8)))
    return bytes(changed)


def spliced(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """A word of the format, or of no format, in the place of a stretch or before it."""
    at = random.randint(0, len(data))
    word = random.choice((*tokens, random.choice(TEXTS), random.choice(NUMBERS)))
    return data[:at] + word + data[at + random.choice((0, 0, 1, len(word))) :]


def cut(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """The beginning."""
    return data[: random.randint(0, len(data))]


def _stretch(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(start + random.choice((1, 4, 16, 64, 256)), len(data))


def repeated(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """A stretch several times."""
    start, stop = _stretch(random, data)
    return data[:start] + data[start:stop] * random.choice((2, 3, 50)) + data[stop:]


def left_out(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """A stretch less."""
    start, stop = _stretch(random, data)
    return data[:start] + data[stop:]


def renumbered(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Another number, often a huge one, in the place of one."""
    found = list(re.finditer(rb"\d+", data[:65536]))
    if not found:
        return spliced(random, data, tokens)
    start, stop = random.choice(found).span()
    return data[:start] + random.choice(NUMBERS) + data[stop:]


def shuffled(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Lines, or fields of a line, in another order."""
    end = random.choice((b"\n", b"\n", b"\t"))
    lines = data.split(end)
    random.shuffle(lines)
    return end.join(lines)


def other_ends(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Other line ends, also mixed."""
    ends = random.choice(((b"\r\n",), (b"\r",), (b"\n", b"\r\n", b"\r", b"\n\n", b"")))
    return re.sub(rb"\r?\n", lambda _: random.choice(ends), data)


def marked(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """A byte order mark, or the beginning of another format, before it."""
    marks = (b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"BZh9", b"PK\x03\x04", b"\x00", b"#", b">")
    return random.choice(marks) + data


def composed(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Words of the format one after the other."""
    return b"".join(random.choices(tokens, k=random.randint(1, 20))) if tokens else data


def packed(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """As gzip, in one member or two, whole or damaged."""
    at = random.choice((len(data), random.randint(0, len(data))))
    members = [gzip.compress(each, 1, mtime=0) for each in (data[:at], data[at:]) if each]
    whole = b"".join(members) or gzip.compress(b"", mtime=0)
    damage = random.choice((None, None, cut, flipped, left_out, repeated))
    return damage(random, whole, ()) if damage else whole + random.choice((b"", b"", b"\0" * 9))


def other_value(random: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """JSON with another value, key or depth somewhere."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return spliced(random, data, tokens)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = range(len(node)) if isinstance(node, list) else node
        for key in keys if isinstance(node, list | dict) else ():
            places.append((node, key))
            walk(node[key])

    walk(content)
    if not places:
        return json.dumps(random.choice(VALUES)).encode()
    node, key = random.choice(places)
    what = random.randrange(8)
    if what == 0:
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[random.choice(("", "x", "\ud800", "mamba", str(key) * 2))] = node.pop(key)
    elif what == 2:
        node[key] = [node[key]]
    else:
        node[key] = random.choice(VALUES)
    text = json.dumps(content)
    if random.randrange(40) == 0:
        depth = random.choice((50, 900, 990, 100_000))
        text = text.replace("null", "[" * depth + "]" * depth, 1)
    return text.encode()


TEXT: tuple[Mutation, ...] = (
    flipped,
    spliced,
    spliced,
    cut,
    repeated,
    left_out,
    renumbered,
    renumbered,
    shuffled,
    other_ends,
    marked,
    composed,
)
BINARY: tuple[Mutation, ...] = (flipped, flipped, flipped, spliced, cut, repeated, left_out)
JSON: tuple[Mutation, ...] = (other_value, other_value, other_value, other_value, *TEXT[:8], marked)


def mutated(
    random: Random, seeds: Sequence[bytes], tokens: Sequence[bytes], ways: Sequence[Mutation]
) -> bytes:
    """One of the seeds after one to four mutations."""
    data = random.choice(seeds)
    for _ in range(random.choice((1, 1, 2, 3, 4))):
        data = random.choice(ways)(random, data, tokens)
    return data
