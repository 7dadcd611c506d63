"""Running the steps of the study, so that a kill at any time loses little and repeats nothing."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from plan import STEPS, TESTS, Chain, Settings, finetuning_config, pretraining_config
from runs import call

from mms_ocr.utils.files import atomic_write

PROTOCOL = "word_acc_ignore_case_symbol"


def check_settings(folder: Path, settings: Settings) -> None:
    """Store the settings of a work folder, or compare them with those stored.

    Raises:
        ValueError: The folder has runs of other settings, or is a file.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file of results, for --table; give a folder to run in")
    path = folder / "settings.json"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        # Written whole under another name first: two processes may start at once.
        own = folder / f"settings_{os.getpid()}.json"
        own.write_text(json.dumps(settings.as_dict()))
        try:
            os.link(own, path)
        finally:
            own.unlink()
    stored = read_settings(folder).as_dict()
    for key, value in settings.as_dict().items():
        if stored[key] != value:
            raise ValueError(
                f"{folder} has runs with {key}={stored[key]}, and {key} is {value} now; give "
                "the same value, or another --work-dir"
            )


def read_settings(folder: Path) -> Settings:
    """Read the settings of a work folder, or of a file of its results.

    Raises:
        ValueError: It holds no study.
    """
    if folder.is_file():
        return Settings(**json.loads(folder.read_text())["settings"])
    path = folder / "settings.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no study (no settings.json); give its --work-dir")
    return Settings(**json.loads(path.read_text()))


def read_result(folder: Path, chain: Chain, step: str) -> dict[str, Any] | None:
    """Result of a finished step, or None; from a work folder or a file of its results."""
    if folder.is_file():
        return json.loads(folder.read_text())["results"].get(chain.name, {}).get(step)
    path = folder / chain.name / step / "result.json"
    return json.loads(path.read_text()) if path.is_file() else None


def write_results(folder: Path, chains: list[Chain], path: Path) -> None:
    """Write the settings and all results of a work folder to one JSON file."""
    settings = read_settings(folder)
    # Data are elsewhere on every machine.
    names = {
        key: Path(value).name
        for key in ("data", "rendered", "fonts")
        if (value := getattr(settings, key))
    }
    results = {
        chain.name: {
            step: result for step in chain.steps if (result := read_result(folder, chain, step))
        }
        for chain in chains
    }
    content = {
        "settings": settings.as_dict() | names,
        "results": {name: found for name, found in results.items() if found},
    }
    atomic_write(path, json.dumps(content, indent=1) + "\n")


def missing_steps(folder: Path, chain: Chain) -> list[str]:
    """Steps of a chain that are not finished."""
    return [step for step in chain.steps if read_result(folder, chain, step) is None]


@contextmanager
def claim(folder: Path, chain: Chain) -> Iterator[int | None]:
    """Claim a chain for this process: gives the descriptor of its lock, or None where it is taken.

    The lock ends with the last process that holds the descriptor, so that a training that outlives
    a killed study keeps its chain.
    """
    (folder / chain.name).mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / chain.name / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        yield None
        return
    try:
        yield lock
    finally:
        os.close(lock)


def run_next(
    folder: Path, settings: Settings, chains: list[Chain], only: Collection[str] = STEPS
) -> bool:
    """Run the unfinished steps of the first chain that is free; False where there is none.

    Pretraining, which the others need, is always among the steps.
    """
    wanted = {*only, "pretrain"}
    for chain in chains:
        if not wanted.intersection(missing_steps(folder, chain)):
            continue
        with claim(folder, chain) as lock:
            # Asked once more: another process may have finished it in the meantime.
            missing = missing_steps(folder, chain) if lock is not None else []
            missing = [step for step in missing if step in wanted]
            for step in missing:
                print(f"{chain.name}: {step}", flush=True)
                run_step(folder, settings, chain, step, lock)
            if missing:
                return True
    return False


def run_step(folder: Path, settings: Settings, chain: Chain, step: str, lock: int) -> None:
    """Run one step, and store its result as the mark that it is finished."""
    place = (folder / chain.name / step).resolve()
    place.mkdir(exist_ok=True)
    pretrained = read_result(folder, chain, "pretrain") or {}
    checkpoint = pretrained.get("checkpoint") and str(place.parent / pretrained["checkpoint"])
    if step == "pretrain":
        trained = train(pretraining_config(chain, settings), place, lock)
        result = {"checkpoint": f"{step}/{trained.name}"}
    elif step == "encoder":
        from probes import measure_encoder  # which a table does without

        result = measure_encoder(chain, settings, checkpoint)
    elif step in ("all", "again", "few"):
        cfg = finetuning_config(chain, settings, step, checkpoint)
        result = read_tests(train(cfg, place, lock), settings, place, lock)
    else:
        import pixels

        configure, measure = {
            "segmentation": (pixels.segmentation_config, pixels.measure_masks),
            "upscaling": (pixels.upscaling_config, pixels.measure_restored),
        }[step]
        cfg = configure(chain, settings, checkpoint)
        result = measure(cfg, train(cfg, place, lock), settings)
    atomic_write(place / "result.json", json.dumps(result, indent=1), flush=True)


def train(cfg: Any, place: Path, lock: int) -> Path:
    """Train, or resume what was trained; the last checkpoint."""
    config = place / "study.py"
    cfg.dump(str(config))
    options = ("--work-dir", place, "--resume")
    call("tools/train.py", config, *options, log=place / "train.txt", pass_fds=[lock])
    return place / f"iter_{cfg.train_cfg.max_iters}.pth"


def read_tests(checkpoint: Path, settings: Settings, place: Path, lock: int) -> dict[str, Any]:
    """Word accuracy on every test set, letters and digits in any case, and the mean of the sets."""
    from probes import estimate_share

    sets = [f"{name}={path}" for name, path in zip(TESTS, settings.paths(list(TESTS.values())))]
    share = f"test_dataloader.dataset.holdout.share={settings.test_share}"
    part = (share, "test_dataloader.dataset.holdout.part=val")
    call(
        *("tools/test.py", place / "study.py", checkpoint, "--work-dir", place / "test"),
        *("--data", *sets, "--cfg-options", "test_dataloader.num_workers=0"),
        "test_dataloader.persistent_workers=False",
        *(part if settings.test_share < 1 else ()),
        log=place / "test.txt",
        pass_fds=[lock],
    )
    report = json.loads((place / "test" / "benchmark.json").read_text())
    result = {
        each["name"]: estimate_share(each["accuracy"][PROTOCOL], each["images"])
        for each in report["sets"]
    }
    count = len(result)
    mean = sum(each["value"] for each in result.values()) / count
    error = sum(each["se"] ** 2 for each in result.values()) ** 0.5 / count
    return result | {"mean": {"value": mean, "se": error}}
