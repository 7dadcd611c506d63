"""What the export to ONNX costs and gains: equality, accuracy, size and speed.

The bundled recognizer is exported in float32, with half and with 8-bit weights, and reads the test
sets in all forms; the segmentor and the super-resolution model process the images of the first set
as checkpoints and in ONNX. Rounds of all forms take turns, on one thread; words/s are of processor
time, from decoded images to texts, and the best of the rounds.

    OMP_NUM_THREADS=1 python tools/benchmarks/bench_export.py --data ../shared/data
    OMP_NUM_THREADS=1 python tools/benchmarks/bench_export.py --loop mms_vit_n_ar_words

With ``--loop``, an autoregressive recognizer of random weights decodes words of six characters by
the loop inside of its graph, and by calls of the step from outside, where words that have ended
leave the batch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_decoding import let_words_end
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mms_ocr.apis import WordReader, WordSegmenter, WordUpscaler, export
from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.onnx_graphs import example_images
from mms_ocr.apis.torch_models import stack_images
from mms_ocr.datasets import open_source
from mms_ocr.evaluation.benchmark_scores import ReadWord, markdown_table
from mms_ocr.evaluation.word_benchmark import judge_words
from mms_ocr.models.onnx_forms import OPSET
from mms_ocr.registry import MODELS
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.devices import describe_machine

READER, SEGMENTOR, UPSCALER = "mms_vit_n_ctc", "mms_vit_n_seg", "mms_vit_n_sr"
CHARACTERS = 6  # of words that random weights read
PROTOCOL = "word_acc_ignore_case_symbol"
SETS = {
    "IIIT5K": "iiit5k/test.jsonl",
    "SVT": "svt/test.jsonl",
    "ICDAR 2013 (1,015)": "icdar2013/test_1015.jsonl",
}
FORMS = {"float32": {}, "half": dict(half=True), "int8": dict(quantize=True)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data", help="folder of iiit5k, svt, icdar2013")
    parser.add_argument("--words", type=int, help="words of each set, evenly spaced (all)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (3)")
    parser.add_argument("--loop", metavar="CONFIG", help="compare the loop of such a recognizer")
    return parser.parse_args()


def read_set(path: Path, count: int | None) -> tuple[list[InputImage], list[str]]:
    """Read images and labels of a set: all, or ``count`` evenly spaced ones."""
    source = open_source(path)
    total = len(source)
    chosen = np.linspace(0, total - 1, min(count or total, total)).round().astype(int)
    raw = [source.read(int(index), labelled=True) for index in chosen]
    return [InputImage(each.name, decode_image(each.data)) for each in raw], [
        each.text or "" for each in raw
    ]


def best_times(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the least processor time of each function, in seconds; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return {name: min(each) for name, each in times.items()}


def compare_readers(data: Path, count: int | None, rounds: int, folder: Path) -> list[list[str]]:
    """Compare the forms of the recognizer; rows of a table."""
    files = {form: folder / f"{form}.onnx" for form in FORMS}
    for form, options in FORMS.items():
        export(READER, files[form], **options)
    readers = {"checkpoint": WordReader(READER, device="cpu")}
    readers |= {form: WordReader(path) for form, path in files.items()}
    sets = {name: read_set(data / path, count) for name, path in SETS.items()}
    images = next(iter(sets.values()))[0]
    logits = {form: _logits(reader, images) for form, reader in readers.items()}
    sample = [each.image for each in images[:512]]
    times = best_times({form: lambda r=r: r(sample) for form, r in readers.items()}, rounds)
    rows = [["form", *SETS, "other words", "largest difference of logits", "MB", "words/s"]]
    texts: dict[str, list[str]] = {}
    for form, reader in readers.items():
        accuracies = []
        texts[form] = []
        for words, labels in sets.values():
            read = [reading.text for reading in reader([each.image for each in words])]
            texts[form] += read
            results = [ReadWord(i, labels[i], text) for i, text in enumerate(read)]
            accuracies.append(f"{100 * np.mean(judge_words(results)[PROTOCOL]):.2f}")
        others = sum(a != b for a, b in zip(texts[form], texts["checkpoint"]))
        size = files[form].stat().st_size / 1e6 if form in files else 0
        rows.append(
            [
                form,
                *accuracies,
                f"{others} of {len(texts[form]):,}",
                f"{np.abs(logits[form] - logits['checkpoint']).max():.2g}",
                f"{size:.1f}" if size else "",
                f"{len(sample) / times[form]:.0f}",
            ]
        )
    return rows


def _logits(reader: WordReader, images: list[InputImage]) -> np.ndarray:
    backend = reader.backend
    if hasattr(backend, "run"):
        return np.concatenate([backend.run([image]) for image in images])
    parts = []
    with torch.inference_mode():
        for image in images:
            data = dict(inputs=list(stack_images([image], (32, 128))), data_samples=None)
            inputs = backend.model.data_preprocessor(data)["inputs"]
            parts.append(backend.model.decoder.forward_train(backend.model.extract_feat(inputs)))
    return torch.cat(parts).numpy()


def compare_pixels(images: list[InputImage]) -> list[list[str]]:
    """Compare segmentor and super-resolution model with their bundled forms in ONNX."""
    arrays = [each.image for each in images]
    rows = [["model", "images", "what differs"]]
    masks = other = 0
    largest = 0.0
    pairs = zip(WordSegmenter(SEGMENTOR, device="cpu").iterate(arrays),
                WordSegmenter(f"{SEGMENTOR}.onnx").iterate(arrays))  # fmt: skip
    for theirs, ours in pairs:
        masks += int((theirs.mask != ours.mask).any())
        other += int((theirs.mask != ours.mask).sum())
        largest = max(largest, float(np.abs(theirs.probability - ours.probability).max()))
    rows.append(
        [SEGMENTOR, f"{len(arrays):,}",
         f"{masks} masks, in {other} pixels; probabilities by up to {largest:.1g}"]
    )  # fmt: skip
    pictures = most = 0
    pairs = zip(WordUpscaler(UPSCALER, device="cpu").iterate(arrays),
                WordUpscaler(f"{UPSCALER}.onnx").iterate(arrays))  # fmt: skip
    for theirs, ours in pairs:
        difference = np.abs(theirs.network_image.astype(int) - ours.network_image)
        pictures, most = pictures + int(difference.any()), max(most, int(difference.max()))
    rows.append(
        [UPSCALER, f"{len(arrays):,}", f"{pictures} pictures, by up to {most} of 255 levels"]
    )
    return rows


def compare_loop(config: str, rounds: int, folder: Path) -> list[list[str]]:
    """Compare the loop inside of a graph with calls of its step; rows of milliseconds a word."""
    import onnx
    import onnxruntime

    from mms_ocr.apis.onnx_loop import LoopGraph, export_step
    from mms_ocr.models.onnx_forms import use_onnx_forms

    cfg = Config.fromfile(find_config(config, "textrecog"))
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope("mms_ocr"), torch.no_grad():
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).eval().requires_grad_(False)
        let_words_end(model.decoder, CHARACTERS)
        graph = LoopGraph(model, model.data_preprocessor, (32, 128)).eval()
        use_onnx_forms(graph)
        memory = graph.encoder(example_images(3, graph.size))
        for name, exported in (
            ("loop", graph.to_onnx(OPSET)),
            ("encoder", graph.encoder.to_onnx(OPSET)),
            ("step", export_step(graph.step, memory, OPSET)),
        ):
            onnx.save(exported, str(folder / f"{name}.onnx"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options)
        for name in ("loop", "encoder", "step")
    }

    def outside(images: np.ndarray) -> list[np.ndarray]:
        (memory,) = sessions["encoder"].run(None, {"images": images})
        state = [each.numpy() for each in graph.step.first(torch.from_numpy(memory))]
        names = [each.name for each in sessions["step"].get_inputs()]
        logits = []
        for position in range(graph.step.max_length):
            values = [np.array([position]), *state[:3], memory, *state[3:]]
            is_active, *state = sessions["step"].run(None, dict(zip(names, values)))
            logits.append(state.pop(3))
            active = state[1]
            if not is_active:
                break
            if active.mean() <= 0.75:
                memory, state = memory[active], [each[active] for each in state]
        return logits

    rows = [["words in a batch", "steps", "loop, ms/word", "step from outside, ms/word"]]
    for count in (1, 8, 32):
        images = example_images(count, graph.size).numpy()
        steps = sessions["loop"].run(None, {"images": images})[0].shape[1]
        times = best_times(
            {
                "loop": lambda: sessions["loop"].run(None, {"images": images}),  # noqa: B023
                "outside": lambda: outside(images),  # noqa: B023
            },
            rounds,
        )
        rows.append(
            [str(count), str(steps), *(f"{1000 * each / count:.2f}" for each in times.values())]
        )
    return rows


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    print(f"{describe_machine()}\n")
    with tempfile.TemporaryDirectory() as name:
        if args.loop:
            print(markdown_table(compare_loop(args.loop, args.rounds, Path(name))))
            return
        data = Path(args.data)
        print(markdown_table(compare_readers(data, args.words, args.rounds, Path(name))), "\n")
        images, _ = read_set(data / next(iter(SETS.values())), args.words)
        print(markdown_table(compare_pixels(images)))


if __name__ == "__main__":
    main()
