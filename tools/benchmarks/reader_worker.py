"""A reader of words in a process of its own, for ``bench_readers.py``.

It needs NumPy, OpenCV and the package of its reader alone, so that it runs in an environment
without this project. It loads the reader, and then answers each line of its input, a JSON object
with ``batch`` and ``count``, by one with the seconds that it took. ``--once`` reads a single word.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

CHARACTERS = 6  # of the words of autoregressive decoders with random weights
MMOCR_CONFIGS = {
    "crnn": "crnn/crnn_mini-vgg_5e_mj.py",
    "nrtr": "nrtr/nrtr_modality-transform_6e_st_mj.py",
    "satrn": "satrn/satrn_shallow_5e_st_mj.py",
    "svtr-tiny": "svtr/svtr-tiny_20e_st_mj.py",
}
LIBRARIES: list[Any] = []  # declarations last as long as these


class Reader(NamedTuple):
    """A reader, and what it weighs."""

    read: Callable[[Sequence[np.ndarray], int], list[str]]  # images uint8 BGR and a batch size
    version: str
    size: int  # bytes of the weights; of random ones, as float32


def config_of(model: str) -> str:
    """Return the config of a model: of MMOCR's for the names in ``MMOCR_CONFIGS``."""
    if model not in MMOCR_CONFIGS:
        return model
    spec = importlib.util.find_spec("mmocr")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'mmocr'")
    return str(Path(spec.origin).parent / ".mim/configs/textrecog" / MMOCR_CONFIGS[model])


def load_mms_ocr(model: str, form: str, folder: str, threads: int) -> Reader:
    """Load a recognizer in torch, compiled, or in ONNX: bundled, or of what the parent wrote."""
    from mms_ocr.apis import WordReader

    if form in ("onnx", "int8"):
        from mms_ocr.utils.bundled import bundled_onnx

        path = Path(folder, f"{model}.{form}.onnx")
        path = path if path.exists() else bundled_onnx(model)
        reader = WordReader(path)
        size = path.stat().st_size
    else:
        import torch

        from mms_ocr.utils.bundled import bundled_file

        torch.set_num_threads(threads)
        path = Path(folder, f"{model}.pth")
        if path.exists():
            reader = WordReader(path, config_of(model), "cpu")
            size = 4 * sum(values.numel() for values in reader.model.state_dict().values())
        else:
            path = bundled_file(model)
            reader = WordReader(path, device="cpu")
            size = path.stat().st_size
        if form == "compiled":
            network = reader.model
            network.backbone.compile(dynamic=True)
            network.decoder.forward_test = torch.compile(network.decoder.forward_test, dynamic=True)

    def read(images: Sequence[np.ndarray], batch: int) -> list[str]:
        reader.batch_size = batch
        return [reading.text or "" for reading in reader(list(images))]

    return Reader(read, version("mms_ocr" if model not in MMOCR_CONFIGS else "mmocr"), size)


def load_doctr(model: str, form: str, folder: str, threads: int) -> Reader:
    """Build a recognizer of docTR with random weights; words of PARSeq have six characters."""
    import torch

    declare_operators(torch)
    from doctr.models import recognition, recognition_predictor

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = getattr(recognition, model)(pretrained=False, pretrained_backbone=False).eval()
    if model == "parseq":
        network.head = ending_head(network.head, network.vocab_size, CHARACTERS)
    predictor = recognition_predictor(network, pretrained=False, batch_size=1)

    def read(images: Sequence[np.ndarray], batch: int) -> list[str]:
        predictor.pre_processor.batch_size = batch
        words = []
        for start in range(0, len(images), batch):
            crops = [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images[start:][:batch]]
            words += [word for word, _ in predictor(crops)]
        return words

    size = 4 * sum(part.numel() for part in network.parameters())
    return Reader(read, version("python-doctr"), size)


def declare_operators(torch: Any) -> None:
    """Declare the operators that torchvision's Python code asks for at import.

    PyPI's torchvision cannot load them beside torch's build for CPUs. No recognizer calls them.
    """
    if "+cpu" not in torch.__version__:
        return
    kept = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        kept.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARIES.append(kept)


def ending_head(head: Any, end: int, length: int) -> Any:
    """Wrap the classifier of PARSeq so that every word ends after ``length`` characters."""
    import torch

    class Ending(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.position = head, 0

        def forward(self, tokens: Any) -> Any:
            logits = self.head(tokens)
            if tokens.shape[1] > 1:  # the refinement of whole words
                self.position = 0
                logits[:, :length, end] = -100
                logits[:, length:, end] = 100
            else:
                logits[..., end] = 100 if self.position == length else -100
                self.position += 1
            return logits

    return Ending()


def load_easyocr(model: str, form: str, folder: str, threads: int) -> Reader:
    """Build EasyOCR's recognizer with random weights, as its reader builds it on a CPU."""
    import torch

    declare_operators(torch)
    import easyocr.recognition
    from easyocr.config import recognition_models
    from easyocr.model.vgg_model import Model

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    characters = recognition_models["gen2"][model]["characters"]
    settings = dict(input_channel=1, output_channel=256, hidden_size=256)
    height = 64
    weights = Model(num_class=len(characters) + 1, **settings).state_dict()
    size = 4 * sum(values.numel() for values in weights.values())
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({f"module.{name}": values for name, values in weights.items()}, file.name)
        network, converter = easyocr.recognition.get_recognizer(
            "generation2", settings, characters, {}, {}, file.name, "cpu", quantize=True
        )

    def read(images: Sequence[np.ndarray], batch: int) -> list[str]:
        words = []
        for start in range(0, len(images), batch):
            grays = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images[start:][:batch]]
            widths = [max(1, round(height * gray.shape[1] / gray.shape[0])) for gray in grays]
            scaled = [cv2.resize(gray, (w, height)) for gray, w in zip(grays, widths)]
            results = easyocr.recognition.get_text(
                characters, height, max(height, *widths), network, converter,
                [(None, gray) for gray in scaled],
                batch_size=batch, workers=0, contrast_ths=0,
            )  # fmt: skip
            words += [text for _, text, _ in results]
        return words

    return Reader(read, version("easyocr"), size)


def load_rapidocr(model: str, form: str, folder: str, threads: int) -> Reader:
    """Load the recognizer that is in RapidOCR's package, with its weights."""
    import rapidocr
    from rapidocr.ch_ppocr_rec.typings import TextRecInput

    threads_key = "EngineConfig.onnxruntime.intra_op_num_threads"
    engine = rapidocr.RapidOCR(params={"Global.log_level": "error", threads_key: threads})
    blank = np.full((48, 96, 3), 255, np.uint8)
    engine(blank, use_det=False, use_cls=False, use_rec=True)  # loads the recognizer
    files = list(Path(rapidocr.__file__).parent.glob("models/*rec*.onnx"))

    def read(images: Sequence[np.ndarray], batch: int) -> list[str]:
        engine.text_rec.rec_batch_num = batch
        words: list[str] = []
        for start in range(0, len(images), batch):
            words += engine.text_rec(TextRecInput(img=list(images[start:][:batch]))).txts
        return words

    return Reader(read, version("rapidocr"), max(file.stat().st_size for file in files))


def load_tesseract(model: str, form: str, folder: str, threads: int) -> Reader:
    """Start Tesseract once a batch, on files 64 pixels high with a border of 12."""
    shown = subprocess.run(
        ["tesseract", "--list-langs"], capture_output=True, text=True, check=True
    ).stdout
    data = Path(shown.split('"')[1], f"{model}.traineddata")
    release = subprocess.run(["tesseract", "--version"], capture_output=True, text=True).stdout
    environment = {**os.environ, "OMP_THREAD_LIMIT": str(threads)}

    def read(images: Sequence[np.ndarray], batch: int) -> list[str]:
        words: list[str] = []
        with tempfile.TemporaryDirectory() as name:
            files = [Path(name, f"{number}.png") for number in range(batch)]
            for start in range(0, len(images), batch):
                chosen = images[start : start + batch]
                for file, image in zip(files, chosen):
                    width = max(1, round(64 * image.shape[1] / image.shape[0]))
                    scaled = cv2.resize(image, (width, 64), interpolation=cv2.INTER_CUBIC)
                    border = cv2.copyMakeBorder(scaled, 12, 12, 12, 12, cv2.BORDER_REPLICATE)
                    cv2.imwrite(str(file), border)
                listed = Path(name, "list.txt")
                listed.write_text("".join(f"{file}\n" for file in files[: len(chosen)]))
                output = subprocess.run(
                    ["tesseract", str(listed), "stdout", "--psm", "8", "-l", model],
                    env=environment, capture_output=True, text=True, check=True,
                ).stdout  # fmt: skip
                pages = output.removesuffix("\f").split("\f")
                words += [" ".join(page.split()) for page in pages]
        return words

    return Reader(read, release.split()[1], data.stat().st_size)


LOADERS = {
    "mms_ocr": load_mms_ocr,
    "mmocr": load_mms_ocr,
    "doctr": load_doctr,
    "easyocr": load_easyocr,
    "rapidocr": load_rapidocr,
    "tesseract": load_tesseract,
}


def processor_time() -> float:
    """Return the processor seconds of this process and of those that it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(kind) for kind in kinds]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory() -> float:
    """Return the peak resident memory in MiB, of this process or its largest child."""
    # Not ru_maxrss of this process, which starts at that of the process it was forked from.
    own = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def answer(reader: Reader, images: Sequence[np.ndarray], request: dict[str, int]) -> dict[str, Any]:
    """Read the first ``count`` images in batches, and return seconds and texts."""
    chosen = images[: request["count"]]
    started, worked = time.perf_counter(), processor_time()
    texts = reader.read(chosen, request["batch"])
    wall, processor = time.perf_counter() - started, processor_time() - worked
    if len(texts) != len(chosen):
        raise RuntimeError(f"{len(texts)} texts of {len(chosen)} images")
    return dict(wall=wall, processor=processor, memory=peak_memory(), texts=texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=LOADERS)
    parser.add_argument("model")
    parser.add_argument("form")
    parser.add_argument("--folder", required=True, help="holds words.npz and written models")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--once", action="store_true", help="read one word and end")
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # packages print what they like
    cv2.setNumThreads(args.threads)
    with np.load(Path(args.folder, "words.npz")) as stored:
        images = [stored[name] for name in sorted(stored)[: 1 if args.once else None]]
    started = time.perf_counter()
    reader = LOADERS[args.package](args.model, args.form, args.folder, args.threads)
    loading = time.perf_counter() - started
    ready = dict(version=reader.version, size=reader.size, loading=loading)
    print(json.dumps(ready), file=out, flush=True)
    if args.once:
        answer(reader, images, dict(batch=1, count=1))
        return
    for line in sys.stdin:
        print(json.dumps(answer(reader, images, json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
