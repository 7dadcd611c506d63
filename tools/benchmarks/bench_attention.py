"""Speed and accuracy of attention with its backward pass, beside torch's.

Every size runs with the same tensors in one process, in turns. Deviations are those of output and
gradients from float64, relative to its norm.

    OMP_NUM_THREADS=1 taskset -c 1 python tools/benchmarks/bench_attention.py
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from mms_ocr.evaluation.benchmark_scores import markdown_table
from mms_ocr.models.backbones.attention import attend
from mms_ocr.utils.devices import describe_machine

SIZES = {  # heads of 64, tokens
    "ViT-T, pretraining": (3, 65),
    "ViT-T, whole image": (3, 257),
    "ViT-S, pretraining": (6, 65),
    "ViT-S, whole image": (6, 257),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    return parser.parse_args()


def run(attention, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    """Compute output and gradients."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    out = attention(*leaves)
    out.backward(grad.to(out.dtype))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def seconds(attention, tensors: list[Tensor], grad: Tensor) -> float:
    start = time.process_time()
    run(attention, tensors, grad)
    return time.process_time() - start


def deviation(results: list[Tensor], exact: list[Tensor]) -> float:
    pairs = zip(results, exact)
    return max(((result.double() - true).norm() / true.norm()).item() for result, true in pairs)


def measure(size: str, args: argparse.Namespace) -> list[str]:
    heads, tokens = SIZES[size]
    shape = (args.batch_size, tokens, heads, 64)  # as a linear layer leaves them
    *tensors, grad = (torch.randn(shape).bfloat16().transpose(1, 2) for _ in range(4))
    variants = (F.scaled_dot_product_attention, attend)
    exact = run(variants[0], [tensor.double() for tensor in tensors], grad)
    errors = [deviation(run(variant, tensors, grad), exact) for variant in variants]
    times = [[seconds(variant, tensors, grad) for variant in variants] for _ in range(args.rounds)]
    torchs, ours = (1000 * statistics.median(column) for column in zip(*times))
    cells = (f"{torchs:.1f}", f"{ours:.1f}", f"{torchs / ours:.1f}")
    return [size, str(tokens), *cells, *(f"{error:.1e}" for error in errors)]


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    print(f"{describe_machine()}; bf16, batch of {args.batch_size}, {args.rounds} rounds\n")
    first = ["layer", "tokens", "torch, ms", "ours, ms", "times faster"]
    head = [*first, "deviation: torch", "ours"]
    print(markdown_table([head, *(measure(size, args) for size in SIZES)]))


if __name__ == "__main__":
    main()
