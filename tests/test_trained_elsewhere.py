"""Our convolution and scan on a third party's trained Mamba, against that party's own code.

The package typeseg (Martin Dallinger, Apache-2.0) says what kind of text every character belongs
to. It carries six trained Mamba blocks of 256 channels, 16 states and 4 taps, and a forward in
NumPy that shares nothing with this program. Here it reads its own files.

Where that forward does otherwise than this program, ours is called so that both do the same:

- It is float32. Its functions take their array module as an argument: with a NumPy whose
  ``float32`` is float64, the same lines compute in float64, and a difference from them is ours.
- Its convolution is centred: position t sees t-1 to t+2, zeros beyond the ends, with the taps in
  the order of time. That is the causal convolution two positions later, of an input that two zeros
  follow.
- A step is softplus(dt + bias) + 1e-4, and that floor is outside of the softplus. Our scan is given
  the number whose softplus is the whole step, less the bias. The softplus there is not linear above
  20, which changes such a step by 1e-10 of itself at most; our scan is given it as it is.
- A block scans in both directions with the same weights, the skip D x in each, and gates the sum.
  Each direction is compared by itself with the gate on it.

The rest is as in ``reference.py``: poles -exp(A_log), decay exp(delta A), Euler's delta B x as the
input, SiLU after the convolution and on the gate. Norms and products are not compared.

Where it reads base64, some channels take steps of hardly more than 1e-4 and remember 10,000
positions. In these, its own float32 is off by 3e-5 of the channel's largest entry.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
import typeseg
from interpreter import INTERPRETED, assert_passes_interpreted, on_device, starts_interpreter
from models import assert_within
from torch import Tensor
from typeseg import _mamba_kernel as its
from typeseg._tokenize import text_to_bytes

from pgf_genome.scan import function, reference

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
FOLDER = Path(typeseg.__file__).parent
WEIGHTS = FOLDER / "data" / "mamba_al.npz"
LAYERS, STATES, DT_RANK, TAPS = 6, 16, 16, 4
# Positions that its convolution sees ahead.
AHEAD = 2
# SiLU of this is one: for a scan whose output a block of its own will gate.
OPEN_GATE = 1.278464542761074

# A long stretch is a text so many times over. Its forward reads the text once, in pieces, because
# arrays of the whole take longer to get than to fill; the scans read what it makes of them as one
# sequence. Its own is a loop in Python, and so every fourth channel is compared.
TEXT, TIMES, PIECE, EVERY = 20_000, 5, 4_000, 4
# Where tiles begin: no powers of two, and elsewhere in the text every time.
EDGES = (0, 1, 34, *range(300, TEXT * TIMES, 7_777))


class NumpyInDouble(ModuleType):
    """NumPy for its functions, which ask for float32."""

    float32 = np.float64

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


DOUBLE = NumpyInDouble("numpy")


class Conv(NamedTuple):
    """Arguments of its convolution: x (L, Di), weight (K, 1, Di) and bias (Di,)."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    @staticmethod
    def joined(parts: Sequence[Conv]) -> Conv:
        return parts[0]._replace(x=np.concatenate([part.x for part in parts]))

    def channels(self, every: int) -> Conv:
        return Conv(*(v[..., ::every] for v in self))

    def its_own(self) -> np.ndarray:
        total = its._depthwise_conv1d_same(DOUBLE, *(v.astype(float) for v in self))
        return its._silu(DOUBLE, total)

    def ours(
        self, ops: ModuleType, dtype: torch.dtype, device: str = "cpu", every: int = 1
    ) -> np.ndarray:
        x = np.pad(self.x, ((0, AHEAD), (0, 0)))
        weight, bias = (tensor(v).to(device, dtype) for v in (self.weight[:, 0], self.bias))

        def conv(tile: slice, state: Tensor) -> tuple[Tensor, Tensor]:
            return ops.causal_conv(tensor(x[None, tile]).to(device, dtype), weight, bias, state)

        state = weight.new_zeros(1, TAPS - 1, bias.numel())
        return in_tiles(conv, len(x), state, every)[AHEAD:]


class Scan(NamedTuple):
    """Arguments of its scan, and what its block gates the sum of both scans with.

    u, dt and z are (L, Di), dt after the softplus; B and C (L, N), A (Di, N), D and bias (Di,).
    """

    u: np.ndarray
    dt: np.ndarray
    B: np.ndarray
    C: np.ndarray
    z: np.ndarray
    A: np.ndarray
    D: np.ndarray
    bias: np.ndarray

    @staticmethod
    def joined(parts: Sequence[Scan]) -> Scan:
        moving = zip(*(part[:5] for part in parts), strict=True)
        return Scan(*map(np.concatenate, moving), *parts[0][5:])

    def backwards(self) -> Scan:
        return Scan(*(v[::-1] for v in self[:5]), *self[5:])

    def channels(self, every: int) -> Scan:
        u, dt, z, bias = (v[..., ::every] for v in (self.u, self.dt, self.z, self.bias))
        return Scan(u, dt, self.B, self.C, z, self.A[::every], self.D[::every], bias)

    def its_own(self) -> np.ndarray:
        u, dt, B, C, z, A, D, _ = (v.astype(float) for v in self)
        return its._selective_scan_seq(DOUBLE, u, dt, B, C, A, D) * its._silu(DOUBLE, z)

    def ours(
        self, ops: ModuleType, dtype: torch.dtype, device: str = "cpu", every: int = 1
    ) -> np.ndarray:
        A, D, bias = (tensor(v).to(device, dtype) for v in (self.A.T, self.D, self.bias))

        def scan(tile: slice, state: Tensor) -> tuple[Tensor, Tensor]:
            u, step, B, C, z = (tensor(v[None, tile]) for v in self[:5])
            dt = before_softplus(step.double()) - tensor(self.bias)
            moving = (v.to(device, dtype) for v in (u, dt, B, C, z))
            return ops.selective_scan(*moving, A, D, bias, state)

        return in_tiles(scan, len(self.u), A.new_zeros(1, *A.shape), every)


def tensor(values: np.ndarray) -> Tensor:
    """A copy, because torch cannot read backwards."""
    return torch.from_numpy(np.array(values, order="C"))


def before_softplus(step: Tensor) -> Tensor:
    """The number whose softplus is ``step``, as torch has it: linear above 20."""
    return torch.where(step > 20, step, step + (-(-step).expm1()).log())


def in_tiles(
    op: Callable[[slice, Tensor], tuple[Tensor, Tensor]], length: int, state: Tensor, every: int
) -> np.ndarray:
    """Some channels of what ``op`` makes of one tile after the other, the state handed over."""
    outputs = []
    for first, last in pairwise([*(edge for edge in EDGES if edge < length), length]):
        out, state = op(slice(first, last), state)
        outputs.append(out[0].cpu().numpy()[:, ::every].copy())
    return np.concatenate(outputs)


def tokens(length: int) -> np.ndarray:
    """Bytes of a text: its Python files, and from the middle on its weights in base64."""
    code = "".join(path.read_text("utf-8") for path in sorted(FOLDER.glob("*.py")))
    encoded = base64.b64encode(WEIGHTS.read_bytes()).decode()
    return text_to_bytes(code[: length // 2] + encoded[:length])[:length]


def its_weights(module: ModuleType) -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as file:
        return {name.replace("__", "/"): file[name].astype(module.float32) for name in file}


def its_blocks(
    ids: np.ndarray, module: ModuleType, scan: Callable = its._selective_scan_seq
) -> Iterator[tuple[Conv, Scan]]:
    """Run its forward block by block, and catch what each calls convolution, scan and gate with."""
    weights = its_weights(module)
    h = its._embed(module, weights, ids)
    for layer in range(LAYERS):
        calls = []

        def caught(called: Callable, calls: list = calls) -> Callable:
            def call(module: ModuleType, *arguments: np.ndarray) -> np.ndarray:
                calls.append(arguments)
                return called(module, *arguments)

            return call

        with pytest.MonkeyPatch.context() as patch:
            for name in ("_depthwise_conv1d_same", "_silu"):
                patch.setattr(its, name, caught(getattr(its, name)))
            h = its._mamba_block(module, weights, layer, h, STATES, DT_RANK, TAPS, caught(scan))
        conv, _, (u, dt, B, C, A, D), _, (gate,) = calls
        bias = weights[f"CheckpointMambaBlock1D_{layer}/Dense_2/bias"]
        yield Conv(*conv), Scan(u, dt, B, C, gate, A, D, bias)


def third_block(ids: np.ndarray, scan: Callable) -> tuple[Conv, Scan]:
    """Its slowest channels remember as long as any, and two blocks before it are soon computed."""
    return next(islice(its_blocks(ids, np, scan), 2, None))


def our_scan(module: ModuleType, u, dt, B, C, A, D) -> np.ndarray:
    """Compiled, in float32, in the place of its own."""
    gate = np.broadcast_to(np.float32(OPEN_GATE), u.shape)
    return Scan(u, dt, B, C, gate, A, D, np.zeros_like(D)).ours(function, torch.float32)


def assert_as_its_own(part: Conv | Scan, every: int, device: str) -> None:
    """The kernels in both precisions, on all channels, some of which are compared."""
    expected = part.channels(every).its_own()
    for dtype, tolerance in TOLERANCES.items():
        actual = part.ours(function, dtype, device, every)
        assert_within(tolerance, actual, expected, f"{type(part).__name__}, {dtype}")


def assert_long_stretch_as_its_own(device: str) -> None:
    pieces = np.split(tokens(TEXT), TEXT // PIECE)
    convs, scans = zip(*[third_block(ids, our_scan) for ids in pieces] * TIMES, strict=True)
    for part in (Conv.joined(convs), Scan.joined(scans)):
        assert_as_its_own(part, EVERY, device)


@pytest.mark.parametrize("ops", [reference, function], ids=["equations", "kernels"])
def test_every_block_equals_its_own_in_double(ops):
    for layer, (conv, scan) in enumerate(its_blocks(tokens(500), DOUBLE)):
        for part in (conv, scan, scan.backwards()):
            name = f"layer {layer}, {type(part).__name__}"
            assert_within(1e-12, part.ours(ops, torch.float64), part.its_own(), name)


def test_its_logits_as_it_ships_are_the_same_with_our_scan():
    ids, weights = tokens(2_000), its_weights(np)
    expected = its.mamba_forward(np, weights, ids)
    assert expected.dtype == np.float32
    assert_within(1e-5, its.mamba_forward(np, weights, ids, scan=our_scan), expected)


@pytest.mark.slow
def test_a_hundred_thousand_positions_in_tiles_equal_its_own():
    assert_long_stretch_as_its_own("cpu")


class TestOnTheDevice:
    pytestmark = on_device

    @pytest.mark.skipif(INTERPRETED, reason="slow when interpreted")
    def test_a_hundred_thousand_positions_in_tiles_equal_its_own(self, device):
        assert_long_stretch_as_its_own(device)

    def test_some_positions_and_channels_equal_its_own(self, device, monkeypatch):
        from pgf_genome.scan import gpu

        # so small that 14 positions are several chunks
        for name in ("CHUNK", "STEPS", "CARRIED"):
            monkeypatch.setattr(gpu, name, 4)
        for part in third_block(tokens(14), its._selective_scan_seq):
            assert_as_its_own(part.channels(8), 1, device)


@starts_interpreter
def test_interpreted_kernels_equal_its_own():
    assert_passes_interpreted(__file__, "-n0")
