"""The data of an adaptation: three sets without overlap, chosen from what was given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mms_ocr.apis.adaptation.facts import (
    DataFacts,
    SetFacts,
    describe_unused,
    read_facts,
    write_facts,
)
from mms_ocr.apis.adaptation.words import Word, WordRecords, WordSet, median_height
from mms_ocr.dataset_tools.contamination import FingerprintIndex
from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.utils.escaping import to_json
from mms_ocr.utils.files import atomic_write, write_lines
from mms_ocr.utils.output_checks import folder_around
from mms_ocr.utils.progress import Progress, silent

MIN_CROPS = 128  # images to pretrain on: a batch
MIN_WORDS = 20  # labelled words to train on, and to set aside for the test
_MAX_SET_ASIDE = 2000
_SHARE_SET_ASIDE = 0.2
_MAX_COLUMNS = 32  # of the encoders
_RESERVE = 300_000_000  # bytes for checkpoints, weights and the report
_PAGE = 4096  # bytes; an LMDB stores larger values in whole pages
_PLAN = "plan.json"  # what the LMDBs hold, to resume
_SETS = ("unlabelled", "labelled", "test")


@dataclass
class _Choice:
    """The three sets and the words of each that are used; ``test`` may be the labelled set."""

    sets: dict[str, WordSet]
    words: dict[str, list[Word]]
    facts: dict[str, SetFacts]


def prepare_data(
    unlabelled: Sequence[str],
    labelled: Sequence[str],
    test: Sequence[str],
    folder: Path,
    known: Sequence[str],
    progress: Progress = silent,
) -> DataFacts:
    """Write the sets of an adaptation without overlap, broken images and repeats.

    ``folder`` gets ``characters.txt``, and in ``data/`` the LMDBs ``unlabelled``, ``labelled`` and
    ``test``, the names of the test images, the distinct training labels, what was left out, and the
    facts, which come last. A stopped call is resumed; where the facts exist, nothing is read.

    Without test paths, a fifth of the labelled words, but at least 20 and at most 2,000, is set
    aside by a hash of the image files: where a fifth is in this range, further words move none from
    one part to the other. Test images and near copies of them are left out of both training sets.
    Labels lose surrounding white space, and letters and marks are composed (NFC) as in rendered
    words.

    Args:
        unlabelled: Folders, LMDBs or JSON-lines files.
        labelled: LMDBs or JSON-lines files.
        test: The same, or none.
        folder: Folder of the adaptation.
        known: Characters of the reader that is started from.
        progress: Shows the progress.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: The sets are empty, without labels, too small, or broken; all labels are one
            word; or ``folder`` and a path are in each other.
        OSError: The disk has no room, or a file cannot be read or written.
    """
    data = folder / "data"
    facts = read_facts(folder)
    if facts is not None and all((data / f"{name}.lmdb").exists() for name in _SETS):
        return facts
    _check_places(folder, [*unlabelled, *labelled, *test])
    choice = _choose(unlabelled, labelled, test, progress)
    _check_room(folder, choice)
    _write_sets(data, choice, progress)
    facts = _write_texts(folder, choice, known, held_out=not test)
    write_facts(folder, facts)
    return facts


def _check_places(folder: Path, paths: Sequence[str]) -> None:
    for path in paths:
        if around := folder_around(folder, [path]):
            raise ValueError(
                f"the output folder {folder} is in the data {around}; give a folder outside of it"
            )
        if folder_around(path, [folder]):
            raise ValueError(f"the data {path} are in the output folder {folder}; give another one")


def _choose(
    unlabelled: Sequence[str], labelled: Sequence[str], test: Sequence[str], progress: Progress
) -> _Choice:
    """Read all sets once, and choose the words of each."""
    crops = WordSet("unlabelled", unlabelled, labelled=False)
    words = WordSet("labelled", labelled, labelled=True)
    tested = WordSet("test", test, labelled=True) if test else words
    usable = words.without_repeats([word for block in words.read(progress) for word in block])
    _check_labels(words, usable, set_aside=not test)
    if test:
        test_words = [word for block in tested.read(progress) for word in block]
        test_words = tested.without_repeats(test_words)
        test_facts = tested.facts
        if not test_words:
            raise ValueError(f"no test word of {tested.path} can be used")
    else:
        test_words, usable = _set_aside(usable)
        words.facts.set_aside = len(test_words)
        test_facts = SetFacts(list(labelled), given=len(test_words))
    index = FingerprintIndex()
    for word in test_words:
        index.add((word.source, word.image.index), word.image)
    training = words.without_test_images(usable, index, tested)
    training = words.without_long_labels(training, _MAX_COLUMNS)
    if len(training) < MIN_WORDS:
        raise ValueError(
            f"{words.path}: {len(training):,} of {len(usable):,} labelled words are left to train "
            f"on beside {len(test_words):,} test images, and at least {MIN_WORDS} are needed"
            f"{_unused(words)}; give more words, or another test set"
        )
    _check_distinct(training)
    seen: set[int] = set()
    pretraining: list[Word] = []
    for block in crops.read(progress):
        new = []
        for word in block:
            if word.image.pixels not in seen:
                seen.add(word.image.pixels)
                new.append(word)
        crops.facts.repeated += len(block) - len(new)
        pretraining += crops.without_test_images(new, index, tested)
        for word in new:
            word.image.phash = None  # a million of them would fill the memory
    if len(pretraining) < MIN_WORDS or len(pretraining) + len(training) < MIN_CROPS:
        raise ValueError(
            f"{len(pretraining):,} unlabelled crops and {len(training):,} labelled words are left "
            f"to pretrain on beside {len(test_words):,} test images, and at least {MIN_WORDS} "
            f"crops and {MIN_CROPS} images in all, a batch, are needed{_unused(crops)}; give more "
            "crops, or another test set"
        )
    chosen = {"unlabelled": pretraining, "labelled": training, "test": test_words}
    facts = {"unlabelled": crops.facts, "labelled": words.facts, "test": test_facts}
    for name in _SETS:
        facts[name].used = len(chosen[name])
        facts[name].median_height = median_height(chosen[name])
    return _Choice({"unlabelled": crops, "labelled": words, "test": tested}, chosen, facts)


def _check_labels(words: WordSet, usable: Sequence[Word], set_aside: bool) -> None:
    least = 2 * MIN_WORDS if set_aside else MIN_WORDS
    if len(usable) < least:
        parts = f", {MIN_WORDS} of them to test with" if set_aside else ""
        raise ValueError(
            f"{words.path}: {len(usable):,} of {words.facts.given:,} labelled words can be used, "
            f"and at least {least} are needed{parts}{_unused(words)}; give more words"
        )
    _check_distinct(usable)


def _unused(words: WordSet) -> str:
    unused = describe_unused(words.facts)
    return f" (not used: {unused})" if unused else ""


def _check_distinct(words: Sequence[Word]) -> None:
    if len({word.image.text for word in words}) == 1:
        raise ValueError(
            f"all {len(words):,} training labels are {words[0].image.text!r}; give labels of "
            "different words"
        )


def _set_aside(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """Split words into a test part, by the hashes of their files, and the rest."""
    hashes = sorted(word.image.file for word in words)
    count = sum(value < _SHARE_SET_ASIDE * 2**64 for value in hashes)
    count = min(max(count, MIN_WORDS), _MAX_SET_ASIDE)
    limit = hashes[count - 1]
    aside = [word for word in words if word.image.file <= limit]
    return aside, [word for word in words if word.image.file > limit]


def _check_room(folder: Path, choice: _Choice) -> None:
    sizes = [word.image.size for words in choice.words.values() for word in words]
    needed = _RESERVE + sum(-(-size // _PAGE) * _PAGE + 64 for size in sizes)
    data = folder / "data"
    present = sum(path.stat().st_size for path in data.rglob("*.mdb")) if data.is_dir() else 0
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if needed - present > free:
        raise OSError(
            f"{folder} needs about {(needed - present) / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB "
            "are free on its disk; make room, or give a folder on another disk"
        )


def _write_sets(data: Path, choice: _Choice, progress: Progress) -> None:
    """Write the three LMDBs, and remove those of an earlier choice if the images have changed."""
    records = {name: WordRecords(choice.sets[name], choice.words[name]) for name in _SETS}
    plan = json.loads(json.dumps({name: records[name].describe() for name in _SETS}))
    paths = [data / f"{name}.lmdb" for name in _SETS]
    data.mkdir(parents=True, exist_ok=True)
    file = data / _PLAN
    begun = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    if begun != plan:
        old = [place for path in paths for place in (path, Path(f"{path}.part")) if place.exists()]
        if old and begun is None:
            raise FileExistsError(f"{old[0]} exists; remove it or choose another output folder")
        for place in old:
            shutil.rmtree(place)
        atomic_write(file, to_json(plan) + "\n", flush=True)
    for name, path in zip(_SETS, paths):
        if not path.exists():
            convert_records(records[name], str(path), 0.0, progress)
        shutil.rmtree(f"{path}.part", ignore_errors=True)  # left where a kill followed the end


def _write_texts(folder: Path, choice: _Choice, known: Sequence[str], held_out: bool) -> DataFacts:
    """Write the characters, the training labels, the names of the test images, and the rest."""
    labels = {
        name: {word.image.text or "" for word in choice.words[name]}
        for name in ("labelled", "test")
    }
    new = sorted(set("".join(labels["labelled"])) - set(known))
    unknown = sorted(set("".join(labels["test"])) - set(known) - set(new))
    data, tested = folder / "data", choice.sets["test"]
    write_lines(data / "test_names.txt", map(tested.image_name, choice.words["test"]))
    write_lines(data / "words.txt", sorted(labels["labelled"]))
    rows = [row for words in dict.fromkeys(choice.sets.values()) for row in words.rows]
    atomic_write(data / "left_out.jsonl", "".join(to_json(row) + "\n" for row in rows))
    atomic_write(folder / "characters.txt", "\n".join([*known, *new]))
    return DataFacts(
        **choice.facts,
        held_out=held_out,
        new_characters="".join(new),
        unknown_test_characters="".join(unknown),
        distinct_labels=len(labels["labelled"]),
        distinct_test_labels=len(labels["test"]),
    )
