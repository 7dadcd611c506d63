r"""Put trained weights into the package, and their description into configs/*/metafile.yml.

    python tools/model_converters/bundle.py mms_vit_n_ctc work_dirs/reader/iter_40000.pth \
        --config mms_vit_n_ctc_words --log work_dirs/reader/*/*.log --command "python tools/…" \
        --data "IIIT5K train" "rendered words" --terms "research only" --machine "2 cores of …"
    python tools/model_converters/bundle.py mms_vit_n work_dirs/mms/iter_9.pth --part encoder …
    python tools/zoo_check.py --write

The weights are stored as fp16 without an auxiliary head, and loaded strictly into the model of
their config. They are written to mms_ocr/zoo/NAME.safetensors, and the log, with only the last two
parts of absolute paths, to docs/results/logs/NAME.log.gz. An existing name keeps the facts that are
not given; its scores have to be measured again.
"""

import argparse
import datetime
import gzip
import hashlib
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import mms_ocr  # noqa: F401  (before MMPretrain is imported)
from mms_ocr.apis.bundled_configs import config_folder, find_config
from mms_ocr.apis.tasks import PRETRAINING, RECOGNITION, SEGMENTATION, SUPER_RESOLUTION
from mms_ocr.apis.trained_models import build_trained, load_config
from mms_ocr.apis.zoo import MAX_FILE, MAX_TOTAL, Entry, read_zoo, write_zoo
from mms_ocr.models.weights import (
    PretrainedTextViT,
    auxiliary_names,
    find_encoder,
    read_state_dict,
    write_checkpoint,
)
from mms_ocr.registry import MODELS
from mms_ocr.utils import bundled
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import atomic_write

TASKS = {task.folder: task for task in (PRETRAINING, RECOGNITION, SEGMENTATION, SUPER_RESOLUTION)}
ROOT = config_folder().parent
LOGS = "docs/results/logs"
# Facts that a new name needs: options and keys of the metafile.
FACTS = {
    "command": "Training Command",
    "data": "Training Data",
    "terms": "Training Data Terms",
    "machine": "Machine",
}
WORDS = "letters and digits, any case"
# Scores of a new model, by task: data set, protocol, metrics, arguments of tools/test.py.
MEASURES = {
    "mms": [("rendered words", "masked error", ["masked_error/mean"], "")],
    "textrecog": [
        (title, WORDS, ["word_acc_ignore_case_symbol"], f"--data {{data}}/{path}")
        for title, path in (
            ("IIIT5K", "iiit5k/test.jsonl"),
            ("SVT", "svt/test.jsonl"),
            ("ICDAR 2013 (1,015)", "icdar2013/test_1015.jsonl"),
        )
    ],
    "segmentation": [
        ("rendered words, 3 unseen families of matplotlib", "fgIoU", ["iou_dataset"], "")
    ],
    "super_resolution": [
        (
            "IIIT5K, degraded",
            "RGB, 32×128",
            ["PSNR", "SSIM"],
            "--data {data}/iiit5k/test.jsonl --cfg-options test_dataloader.dataset.holdout=None",
        )
    ],
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="such as mms_vit_n_ctc")
    parser.add_argument("checkpoint", help="checkpoint of the run")
    parser.add_argument("--config", help="the bundled config of the training")
    parser.add_argument("--part", choices=("all", "encoder"), help="what to keep (default: all)")
    parser.add_argument("--log", nargs="+", metavar="FILE", help="logs of the run, in order")
    parser.add_argument("--command", help="exact command of the training")
    parser.add_argument("--data", nargs="+", metavar="TEXT", help="training data")
    parser.add_argument("--terms", help="terms of these data, such as 'research only'")
    parser.add_argument("--machine", help="machine of the training, such as '2 cores of …'")
    parser.add_argument("--date", help="of the training (default: today)")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def bundle(args: argparse.Namespace) -> None:
    """Write the weights, the log and the entry of the metafile.

    Raises:
        FileNotFoundError: The checkpoint, a log or the config is missing.
        ValueError: A fact is missing, the weights do not fit the config, or they are too large.
    """
    if not re.fullmatch(r"[a-z0-9_]+", args.name):
        raise ValueError(f"the name {args.name!r} may have only lower-case letters, digits and _")
    entries = read_zoo()
    entry = describe(args, entries.get(args.name))
    logs = b"".join(Path(log).read_bytes() for log in args.log or ())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{args.name}{bundled.SUFFIX}")
        parameters = write_checked(args.checkpoint, file, entry)
        data = file.read_bytes()
    check_sizes(args.name, len(data) / 1e6)
    entry["Metadata"] |= {
        "Parameters": parameters,
        "File Size": len(data),
        "SHA256": hashlib.sha256(data).hexdigest(),
    }
    bundled.FOLDER.mkdir(exist_ok=True)
    if logs:
        place = ROOT / entry["Metadata"]["Training Log"]
        place.parent.mkdir(parents=True, exist_ok=True)
        text = shorten_paths(logs.decode("utf-8", "replace")).encode()
        atomic_write(place, gzip.compress(text, mtime=0))
    atomic_write(bundled.FOLDER / file.name, data)
    write_zoo({**entries, args.name: entry})
    print(
        f"{args.name}: {parameters / 1e6:.2f} M parameters, {len(data) / 1e6:.1f} MB; now run "
        f"tools/zoo_check.py {args.name} --write and tools/model_converters/bundle_onnx.py"
    )


def describe(args: argparse.Namespace, old: Entry | None) -> Entry:
    """Entry of the metafile, without the size and checksum of the file.

    Raises:
        ValueError: A fact of a new name is missing.
    """
    options = vars(args)
    missing = [f"--{name}" for name in ("config", "log", *FACTS) if not options[name]]
    if old is None and missing:
        raise ValueError(f"{args.name} is new: give {', '.join(missing)} as well")
    facts: dict[str, Any] = dict(old["Metadata"]) if old else {}
    facts["Part"] = args.part or facts.get("Part", "all")
    for name, key in FACTS.items():
        facts[key] = options[name] or facts[key]
    facts["Training Command"] = shorten_paths(facts["Training Command"])
    facts["Training Log"] = f"{LOGS}/{args.name}.log.gz"
    facts["Date"] = args.date or str(datetime.date.today())
    config = old["Config"] if old else ""
    if args.config:
        relative = find_config(args.config).resolve().relative_to(config_folder().resolve())
        config = f"configs/{relative.as_posix()}"
    task = Path(config).parts[1]
    if task not in TASKS:
        raise ValueError(f"{config} is in none of the folders {', '.join(TASKS)} of configs/")
    results = old["Results"] if old else []
    if not old and facts["Part"] == "all":
        results = [
            {
                "Task": task,
                "Dataset": dataset,
                "Protocol": protocol,
                "Metrics": dict.fromkeys(metrics),
                "Arguments": f"{config} {bundled.SCHEME}{args.name} {arguments}".rstrip(),
            }
            for dataset, protocol, metrics, arguments in MEASURES[task]
        ]
    return {
        "Name": args.name,
        "Config": config,
        "Metadata": facts,
        "Results": [{**result, "Metrics": dict.fromkeys(result["Metrics"])} for result in results],
        "Weights": f"{bundled.SCHEME}{args.name}",
    }


def write_checked(checkpoint: str, target: Path, entry: Entry) -> int:
    """Write the weights as fp16, load them strictly, and count the parameters.

    Raises:
        ValueError: They do not fit the model of the config.
    """
    config = config_folder().parent / entry["Config"]
    part = entry["Metadata"]["Part"]
    weights = read_state_dict(checkpoint)
    if part == "encoder":
        weights = find_encoder(weights, checkpoint).weights
    for key in auxiliary_names(weights):
        del weights[key]
    write_checkpoint(target, weights, {"part": part, "experiment_name": config.stem}, half=True)
    cfg = load_config(str(config), target, TASKS[config.parent.name])
    if part == "encoder":
        model = MODELS.build({**cfg.model.backbone, "init_cfg": None})
        PretrainedTextViT(str(target))(model)
    else:
        model = build_trained(cfg, target, "cpu")
    parameters = dict(model.named_parameters())
    for key in auxiliary_names(parameters):
        del parameters[key]
    return sum(parameter.numel() for parameter in parameters.values())


def check_sizes(name: str, size: float) -> None:
    """Check the size of the package.

    Raises:
        ValueError: The file, or all of them together, are too large.
    """
    others = [path for path in bundled.FOLDER.glob("*") if path.stem != name]
    total = size + sum(path.stat().st_size / 1e6 for path in others)
    if size > MAX_FILE:
        raise ValueError(f"{name} has {size:.1f} MB, and a bundled file at most {MAX_FILE}")
    if total > MAX_TOTAL:
        raise ValueError(f"with {name}, all files have {total:.1f} MB, and at most {MAX_TOTAL}")


def shorten_paths(text: str) -> str:
    """Shorten absolute paths in a text to their last two parts."""
    return re.sub(r"(?<![\w.:/…])/(?:[^\s/'\",:]+/)+([^\s/'\",:]+/[^\s/'\",:]+)", r"…/\1", text)


def main(argv: list[str] | None = None) -> int:
    return run_program("bundle.py", lambda: parse_args(argv), bundle)


if __name__ == "__main__":
    sys.exit(main())
