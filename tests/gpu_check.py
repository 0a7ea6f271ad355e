"""Check and time everything that needs a GPU: ``python tests/gpu_check.py`` on a machine with one.

Runs the tests marked ``gpu``, times every kernel alone, then an adjoint sweep of a random model
over a random sequence, and says how far that is from what the card can do. Prints a table; exits
with 1 when there is no GPU or a test fails. ``--device cpu`` with small sizes tries the script out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from models import random_model, small_config

from pgf_genome.engine import arrays
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.scan import function

CHR1_BASES, STRANDS = 248_956_422, 2
# Forward-equivalents of matrix work in an adjoint sweep: primal, replay, backward in the inputs.
SWEEPS = 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--length", type=int, default=1_000_000, help="bases of the sweep")
    parser.add_argument("--tile", type=int, default=65_536, help="positions per tile")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=256, help="d_model; d_inner is twice that")
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--directions", type=int, default=4, help="tangents that share a primal")
    parser.add_argument("--repeat", type=int, default=10, help="timed runs of a kernel")
    parser.add_argument(
        "--tflops", type=float, default=67.0,
        help="peak float32 matrix rate of the card, TFLOP/s; TF32 is off (default: H200)",
    )  # fmt: skip
    parser.add_argument(
        "--terabytes", type=float, default=4.8, help="peak memory rate, TB/s (default: H200)"
    )
    parser.add_argument("--skip-tests", action="store_true")
    return parser.parse_args()


def wait_for(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], object], device: str, repeat: int) -> float:
    """Median time of a call, after two that compile and warm up."""
    times = []
    for run in range(repeat + 2):
        wait_for(device)
        start = time.perf_counter()
        call()
        wait_for(device)
        if run > 1:
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def calls(args: argparse.Namespace) -> Iterator[tuple[str, Callable, int]]:
    """Name, call, and factor of work of every launcher on one tile."""
    T, Di, N, k = args.tile, 2 * args.width, args.states, args.directions
    generator = torch.Generator(args.device).manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=args.device)

    x, dt, z, out_bar = (random(1, T, Di) for _ in range(4))
    B, C, A = random(1, T, N), random(1, T, N), -random(N, Di).abs()
    h, h_bar = random(1, N, Di), random(1, N, Di)
    inputs = (x, dt - 2, B, C, z, A, random(Di), random(Di))
    dots = [random(k, *v.shape) for v in (x, dt, B, C, z, h)]
    launch = function.kernels(x)
    stored = launch.scan_forward(*inputs, h)[2]
    yield "scan forward", lambda: launch.scan_forward(*inputs, h), 1
    yield "scan adjoint", lambda: launch.scan_adjoint(*inputs, stored, out_bar, h_bar, False), 1
    yield (
        "scan adjoint, weights",
        lambda: launch.scan_adjoint(*inputs, stored, out_bar, h_bar, True),
        1,
    )
    yield f"scan tangent, {k} directions", lambda: launch.scan_tangent(*inputs, h, *dots), k
    past, weight, bias = random(1, T + 3, Di), random(4, Di), random(Di)
    yield "convolution forward", lambda: launch.conv_forward(past, weight, bias), 1
    yield (
        "convolution adjoint",
        lambda: launch.conv_adjoint(past, weight, bias, out_bar, False),
        1,
    )


# Arrays (T, Di) that a launcher must read and write at least, by the beginning of its name.
ACTIVATIONS = {
    "scan forward": 4,
    "scan adjoint": 7,
    "scan tangent": 4,
    "convolution forward": 2,
    "convolution adjoint": 3,
}


def time_kernels(args: argparse.Namespace) -> None:
    T, Di, N = args.tile, 2 * args.width, args.states
    print(f"\nKernels alone: T {T:,}, Di {Di}, N {N}, float32, one sequence\n")
    print_row("kernel", "ms", "ns per (t, d, n)", "least GB/s", "of memory rate")
    print_row(*["---"] * 5)
    for name, call, factor in calls(args):
        spent = seconds(call, args.device, args.repeat)
        arrays_moved = next(n for start, n in ACTIVATIONS.items() if name.startswith(start))
        rate = 4 * T * Di * arrays_moved * factor / spent
        each = spent / (T * Di * N * factor) * 1e9 if name.startswith("scan") else None
        share = f"{rate / args.terabytes / 1e12:.1%}"
        cell = "" if each is None else f"{each:.2e}"
        print_row(name, f"{spent * 1e3:.3f}", cell, f"{rate / 1e9:.0f}", share)


def matrix_work(c: MambaConfig) -> int:
    """Floating-point operations of the matrix products per base, forward."""
    return 2 * (c.n_layer * c.mixer.matrix_work(c.d_model) + 2 * c.d_model * c.vocab_rows)


def memory_traffic(c: MambaConfig) -> int:
    """Bytes per base and sweep that the activations named in `Mixer` and `Block` cost at least."""
    layer = 4 * c.d_model + 10 * c.mixer.d_inner
    return 4 * c.n_layer * layer


def sweep(args: argparse.Namespace) -> None:
    config = small_config(
        d_model=args.width, n_layer=args.layers, d_inner=2 * args.width, d_state=args.states,
        dt_rank=-(-args.width // 16), vocab_rows=8,
    )  # fmt: skip
    model = random_model(config, torch.float32).to(args.device)
    ids = torch.randint(1, 5, (args.length,), generator=torch.Generator().manual_seed(0))
    arrays.adjoint(model, ids[: 2 * args.tile], tile_length=args.tile)  # compiles
    if args.device != "cpu":
        torch.cuda.reset_peak_memory_stats(args.device)
    start = time.perf_counter()
    found = arrays.adjoint(model, ids, tile_length=args.tile)
    wait_for(args.device)
    spent = time.perf_counter() - start
    if not torch.isfinite(torch.as_tensor(found.gradient)).all():
        sys.exit("gpu_check: the gradient is not finite")
    speed = args.length / spent
    flops = SWEEPS * matrix_work(config) * speed
    traffic = SWEEPS * memory_traffic(config) * speed
    hours = CHR1_BASES * STRANDS / speed / 3600
    print(f"\nAdjoint sweep: {args.layers} layers, D {args.width}, L {args.length:,}, float32\n")
    print_row("quantity", "value")
    print_row("---", "---")
    print_row("time", f"{spent:.2f} s")
    print_row("speed", f"{speed:,.0f} bp/s")
    if args.device != "cpu":
        peak = torch.cuda.max_memory_allocated(args.device)
        print_row("peak VRAM", f"{peak / 2**30:.2f} GiB")
    print_row(f"of {args.tflops:g} TFLOP/s in matrix products", f"{flops / args.tflops / 1e12:.1%}")
    print_row(f"of {args.terabytes:g} TB/s, at least", f"{traffic / args.terabytes / 1e12:.1%}")
    print_row("human chr1, both strands", f"{hours:.2f} h")


def main() -> None:
    args = arguments()
    if args.device != "cpu" and not torch.cuda.is_available():
        sys.exit("gpu_check: there is no CUDA device; try the script with --device cpu")
    torch.backends.cuda.matmul.allow_tf32 = False
    args.tile = min(args.tile, args.length)
    failed = 0
    if args.device != "cpu" and not args.skip_tests:
        print(torch.cuda.get_device_name(args.device), "torch", torch.__version__, flush=True)
        root = Path(__file__).parents[1]
        files = ["tests/test_gpu_kernels.py", "tests/test_trained_elsewhere.py"]
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *files]
        failed = subprocess.run(command, cwd=root).returncode
    time_kernels(args)
    sweep(args)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
