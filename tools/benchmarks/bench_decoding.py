"""Speed of TextDecoder and of MMOCR's NRTRDecoder, with the same weights, in one process.

MAERec's decoder size: 6 layers, 384 wide, FFN 1536, 256 image tokens. NRTRDecoder decodes once, and
TextDecoder after every few of its steps, so that other jobs slow both equally; the median of these
rounds is reported. Times are processor time on a CPU, wall-clock time on a GPU.
"""

import argparse
import os
import resource
import statistics
import time

import torch

import mms_ocr.registry  # noqa: F401
from mms_ocr.registry import MODELS
from mms_ocr.utils.devices import describe_machine, synchronize

CASES = {"random weights, never ending": None, "words end after six characters": 6}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=6, help="of TextDecoder; NRTRDecoder has one")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--arch", default="tiny", help="encoder of the end-to-end part")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def decoder_config(kind: str, steps: int, width: int = 384) -> dict:
    import mmocr

    folder = os.path.join(os.path.dirname(mmocr.__file__), ".mim", "dicts")
    dictionary = dict(
        type="mmocr.Dictionary",
        dict_file=os.path.join(folder, "english_digits_symbols.txt"),
        with_padding=True,
        with_unknown=True,
        same_start_end=True,
        with_start=True,
        with_end=True,
    )
    return dict(
        type=kind,
        d_model=width,
        d_embedding=width,
        d_k=width // 8,
        d_v=width // 8,
        d_inner=4 * width,
        dictionary=dictionary,
        max_seq_len=steps,
        postprocessor=dict(type="mmocr.AttentionPostprocessor"),
    )


def let_words_end(decoder, length: int | None) -> None:
    """Make every word end after ``length`` characters, or never."""
    end = decoder.dictionary.end_idx
    with torch.no_grad():
        decoder.classifier.bias[end] = -100
        if length is not None:
            # The position after the last character gets a direction that means the end.
            direction = torch.randn_like(decoder.classifier.weight[end])
            decoder.position_enc.position_table[0, length] = 1000 * direction
            decoder.classifier.weight[end] = direction


def seconds(run, device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    synchronize(device)
    start = clock()
    run()
    synchronize(device)
    return clock() - start


def interleaved(theirs, run_theirs, run_ours, args) -> tuple[float, list[float]]:
    """Measure seconds of a run of NRTRDecoder, and of runs of TextDecoder between its steps."""
    every = max(1, args.steps // args.rounds)
    rounds: list[float] = []
    steps = 0
    attend = theirs._attention

    def step(*args_, **kwargs):
        nonlocal steps
        result = attend(*args_, **kwargs)
        steps += 1
        if steps % every == 0 and len(rounds) < args.rounds:
            rounds.append(seconds(run_ours, args.device))
        return result

    theirs._attention = step
    try:
        total = seconds(run_theirs, args.device)
    finally:
        theirs._attention = attend
    return total - sum(rounds), rounds


def peak_memory(run, device: str) -> float:
    """Measure the additional memory of ``run`` in MiB."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    readable, writable = os.pipe()
    if (child := os.fork()) == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run()
        needed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writable, str(needed / 1024).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(readable, 64))


@torch.no_grad()
def compare(args) -> None:
    from mmocr.structures import TextRecogDataSample

    print(f"{args.images} images, up to {args.steps} tokens\n")
    print(
        "| weights | NRTRDecoder, s | TextDecoder, s | times faster | largest difference |", end=""
    )
    print(" peak memory, MiB: NRTRDecoder | TextDecoder |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    memory = torch.randn(args.images, 256, 384, device=args.device)
    samples = [TextRecogDataSample(metainfo=dict(valid_ratio=1.0)) for _ in range(args.images)]
    for case, length in CASES.items():
        theirs = MODELS.build(decoder_config("mmocr.NRTRDecoder", args.steps)).eval()
        let_words_end(theirs, length)
        ours = MODELS.build(decoder_config("mms_ocr.TextDecoder", args.steps)).eval()
        ours.load_state_dict(theirs.state_dict())
        theirs, ours = theirs.to(args.device), ours.to(args.device)
        outputs = {}

        def run_theirs(model=theirs, results=outputs):
            results["theirs"] = model(None, memory, samples)

        def run_ours(model=ours, results=outputs):
            results["ours"] = model(None, memory, samples)

        run_ours()  # warms up
        slow, rounds = interleaved(theirs, run_theirs, run_ours, args)
        fast = statistics.median(rounds)
        used = args.steps if length is None else length + 1
        tokens = outputs["theirs"][:, :used].argmax(-1)
        if not torch.equal(tokens, outputs["ours"][:, :used].argmax(-1)):
            raise RuntimeError("the two decoders wrote different words")
        lengths = (tokens != ours.dictionary.end_idx).sum(dim=1)
        if bool((lengths != (length or args.steps)).any()):
            raise RuntimeError("the words do not end where they should")
        apart = (outputs["theirs"] - outputs["ours"])[:, :used].abs().max()
        print(f"| {case} | {slow:.2f} | {fast:.3f} | {slow / fast:.1f} | {apart:.1e} |", end="")
        for run in (run_theirs, run_ours):
            peak = " -" if args.no_memory else f" {peak_memory(run, args.device):.0f}"
            print(f"{peak} |", end="", flush=True)
        print()


@torch.no_grad()
def end_to_end(args) -> None:
    from mmocr.structures import TextRecogDataSample

    widths = {"tiny": 192, "small": 384, "base": 768}
    decoder = decoder_config("mms_ocr.TextDecoder", args.steps) | dict(d_input=widths[args.arch])
    model = MODELS.build(
        dict(
            type="mmocr.EncoderDecoderRecognizer",
            backbone=dict(type="mms_ocr.TextViT", arch=args.arch),
            decoder=decoder,
            data_preprocessor=dict(
                type="mmocr.TextRecogDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3
            ),
        )
    ).eval()
    let_words_end(model.decoder, 6)
    model = model.to(args.device)
    print(f"\nImages to text, ViT {args.arch}, words of six characters\n")
    print("| batch | images/s | peak memory, MiB |")
    print("| ---: | ---: | ---: |")
    for batch in args.batches:
        images = torch.randint(0, 256, (batch, 3, 32, 128), dtype=torch.uint8)

        def run(images=images, batch=batch):
            meta = dict(valid_ratio=1.0, img_shape=(32, 128))
            samples = [TextRecogDataSample(metainfo=meta) for _ in range(batch)]
            read = model.test_step(dict(inputs=list(images), data_samples=samples))
            if any(len(sample.pred_text.item) > 6 for sample in read):
                raise RuntimeError("the words do not end where they should")

        run()  # warms up
        taken = min(seconds(run, args.device) for _ in range(args.rounds))
        print(
            f"| {batch} | {batch / taken:.1f} | {peak_memory(run, args.device):.0f} |", flush=True
        )


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    print(f"{describe_machine(args.device)}\n")
    compare(args)
    if args.batches:
        end_to_end(args)


if __name__ == "__main__":
    main()
