"""Sections of a report on an adaptation, made of its figures."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from mms_ocr.apis.adaptation.configs import VALIDATED
from mms_ocr.apis.adaptation.pages import (
    Block,
    Cell,
    Code,
    Label,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
)
from mms_ocr.apis.adaptation.verdict import interval, points, verdict
from mms_ocr.evaluation.benchmark_scores import PROTOCOLS

Figures = Mapping[str, Any]

_SETS = {"unlabelled": "unlabelled crops", "labelled": "labelled words", "test": "test words"}
_COUNTS = {
    "given": "given",
    "broken": "broken images, left out",
    "repeated": "repeats of another image, left out",
    "contradicting": "same image with different labels, left out",
    "left_out": "test images and near copies of them, left out",
    "too_long": "labels too long for the encoder, left out",
    "set_aside": "set aside for the test",
    "used": "used",
}
#: Names of masking strategies for people.
STRATEGIES = {"random_patch": "random patches", "blockwise": "blocks", "span": "spans"}
_COLUMNS = {
    "word_acc_ignore_case_symbol": "letters and digits, any case",
    "word_acc": "all characters, case-sensitive",
}


def report_sections(figures: Figures, drawn: Collection[str]) -> list[Section]:
    """Make the sections of a report; ``drawn`` are the files of its pictures."""
    parts: list[tuple[str, list[Block]]] = [
        ("Result", _result(figures)),
        ("Readers compared", _readers(figures)),
        ("Data", _data(figures["data"])),
        ("Training", _training(figures, drawn)),
        ("What pretraining changed", _reconstructions(figures)),
        ("Worst words", _worst_words(figures)),
        ("Size, speed and time", _costs(figures)),
        ("Commands", _commands(figures)),
    ]
    return [Section(title, blocks) for title, blocks in parts if blocks]


def _result(figures: Figures) -> list[Block]:
    first, *others = verdict(figures)
    sentences = [*others, *figures["notes"]]
    return [Paragraph(first, is_lead=True), *map(Paragraph, sentences)]


def _protocols(figures: Figures) -> list[str]:
    """Return the protocols that the report shows, the headline first."""
    return list(dict.fromkeys([figures["headline"]["protocol"], "word_acc"]))


def _readers(figures: Figures) -> list[Block]:
    protocols = _protocols(figures)
    rows = []
    for reader in figures["readers"]:
        accuracy = reader["accuracy"]
        shares = [interval(accuracy[name]) if accuracy else "not tested" for name in protocols]
        trained = bool(reader["trainings"])
        views = " + ".join(f"{count:,}" for count in reader["views"])
        minutes = f"{reader['seconds'] / 60:.1f}" if trained else ""
        labels = f"{reader['labels']:,}" if trained else ""
        rows.append([reader["title"], *shares, labels, views, minutes])
    names = [reader["name"] for reader in figures["readers"]]
    head = ["reader", *(f"{_COLUMNS[name]}, %" for name in protocols)]
    blocks: list[Block] = [
        Table(
            f"Word accuracy on {figures['words']:,} test words with 95% intervals. Views: images "
            "seen in training, repeated and rendered ones too.",
            [*head, "labels", "views", "minutes of training"],
            rows,
            strong_row=names.index(figures["written"]),
        )
    ]
    if figures["differences"]:
        blocks.append(_differences(figures, protocols))
    blocks.append(
        Paragraph(
            f"{figures['headline']['reason']} Intervals are percentiles of 10,000 resamples of the "
            "test words; those of differences resample both readers together."
        )
    )
    return blocks


def _differences(figures: Figures, protocols: list[str]) -> Table:
    titles = {reader["name"]: reader["title"] for reader in figures["readers"]}
    headline = protocols[0]
    rows = [
        [
            titles[each["reader"]],
            titles[each["than"]],
            *(points(each[name]) for name in protocols),
            f"{each[headline]['gained']:,}",
            f"{each[headline]['lost']:,}",
        ]
        for each in figures["differences"]
    ]
    return Table(
        "Differences in points with 95% intervals. Gained words are right by the first reader "
        f"only, lost ones by the second only ({PROTOCOLS[headline]}).",
        ["reader", "compared with", *(_COLUMNS[name] for name in protocols), "gained", "lost"],
        rows,
        text_columns=(0, 1),
    )


def _data(facts: Mapping[str, Any]) -> list[Block]:
    sets = [name for name in _SETS if isinstance(facts.get(name), Mapping)]
    if not sets:
        return []
    rows = [
        [title, *(f"{facts[name].get(count) or 0:,}" for name in sets)]
        for count, title in _COUNTS.items()
        if count in ("given", "used") or any(facts[name].get(count) for name in sets)
    ]
    sentences = [
        f"Broken: {message}"
        for name in sets
        for message in facts[name].get("broken_messages") or ()
    ]
    sentences += [
        "The test part was set aside from the labels. The contents of the images decide which are "
        "in it, so it is the same in every run on these words."
        if facts.get("held_out")
        else "The test part is the one that was given."
    ]
    if any(facts[name].get("left_out") for name in sets):
        sentences.append(
            "No training has seen a test image or a near copy of one; data/left_out.jsonl lists "
            "those that were left out."
        )
    if new := facts.get("new_characters"):
        sentences.append(f"Characters that training added to the dictionary: {_spaced(new)}")
    if unknown := facts.get("unknown_test_characters"):
        sentences.append(
            "Characters of test labels that no reader here knows, so that their words count as "
            f"wrong: {_spaced(unknown)}"
        )
    given = [f"{_SETS[name]}: {', '.join(facts[name].get('paths') or ())}" for name in sets]
    caption = "; ".join(line for line in given if not line.endswith(": "))
    table = Table(caption or "Images by set.", ["", *(_SETS[name] for name in sets)], rows)
    return [table, *map(Paragraph, sentences)]


def _spaced(characters: str) -> str:
    return " ".join("(space)" if char == " " else char for char in characters)


def _training(figures: Figures, drawn: Collection[str]) -> list[Block]:
    captions = {
        "masked_error.png": (
            "masked error by iterations of pretraining",
            "Pretraining: mean squared error on removed patches of held-out crops, normalized "
            "patch by patch; 1 is the error of a constant.",
        ),
        "loss.png": ("loss by iterations of fine-tuning", "Fine-tuning: loss of training."),
        "accuracy.png": (
            "word accuracy by iterations of fine-tuning",
            f"Fine-tuning: word accuracy of the validations on at most {VALIDATED} test words. "
            "Readers are those of the last iteration, whatever these curves show.",
        ),
    }
    pictures = [Picture(file, *text) for file, text in captions.items() if file in drawn]
    rows = [
        [
            training["title"],
            f"{training['iterations']:,}",
            f"{training['batch_size']:,}",
            f"{training['views']:,}",
            f"{training['seconds'] / 60:.1f}",
        ]
        for training in figures["trainings"].values()
    ]
    head = ["training", "iterations", "batch", "views", "minutes"]
    blocks: list[Block] = [Table("How long each training was.", head, rows)] if rows else []
    blocks += [Pictures(pictures)] if pictures else []
    silent = [name for name, curves in figures["curves"].items() if not curves]
    return [*blocks, *(Paragraph(f"The training {name} has logged no values.") for name in silent)]


def _reconstructions(figures: Figures) -> list[Block]:
    made = figures["reconstructions"]
    if not made:
        return []
    before, after = made["errors"]["before"], made["errors"]["after"]
    rows = [
        [STRATEGIES.get(name, name), *(_error(errors[name]) for errors in (before, after))]
        for name in before
    ]
    pictures = []
    for name in before:
        mask = STRATEGIES.get(name, name)
        alt = f"crops masked by {mask}, filled in before and after pretraining"
        caption = f"Masked by {mask}: crop, masked crop, filled in before and after pretraining."
        pictures.append(Picture(f"filled_{name}.png", alt, caption))
    count = made["crops"]
    text = (
        "Test crops, which pretraining has not seen. The encoder sees the masked crop and predicts "
        "the removed patches, with the same masks before and after pretraining on your crops."
    )
    caption = f"Masked error of {count:,} test crops; lower is better."
    table = Table(caption, ["mask", "before", "after"], rows)
    return [Paragraph(text), table, Pictures(pictures)]


def _error(error: float | None) -> str:
    return "not finite" if error is None else f"{error:.3f}"


def _worst_words(figures: Figures) -> list[Block]:
    worst = figures["worst_words"]
    if not worst:
        return [Paragraph("The written reader reads all test words right.")]
    titles = {reader["name"]: reader["title"] for reader in figures["readers"]}
    written = figures["written"]
    others = [name for name in worst[0]["texts"] if name != written]
    rows: list[list[Cell]] = [
        [
            Picture(f"word_{number:02}.png", f"crop {number}"),
            Label(word["label"]),
            Label(word["texts"][written]),
            "" if word["confidence"] is None else f"{word['confidence']:.2f}",
            *(Label(word["texts"][name]) for name in others),
            Label(PurePath(word["name"]).name),
        ]
        for number, word in enumerate(worst, start=1)
    ]
    head = ["crop", "label", "read", "confidence", *(titles[name] for name in others)]
    text_columns = [column for column in range(len(head) + 1) if column != 3]
    caption = (
        f"{len(worst)} of {figures['wrong_words']:,} words that the written reader "
        f"({titles[written]}) reads wrong: the largest edit distances first, then the most "
        "confident, at most 3 of one label."
    )
    return [Table(caption, [*head, "image"], rows, text_columns)]


def _costs(figures: Figures) -> list[Block]:
    rows: list[list[Cell]] = []
    if figures["parameters"]:
        rows.append(["parameters", f"{figures['parameters'] / 1e6:.2f} million"])
    rows += [[name, f"{size / 1e6:.2f} MB"] for name, size in figures["file_sizes"].items()]
    speeds = figures["speeds"]
    rows += [[f"speed: {title}", f"{speed:,.0f} images/s"] for title, speed in speeds.items()]
    rows += [
        [f"time: {stage}", f"{value / 60:.1f} min"] for stage, value in figures["seconds"].items()
    ]
    versions = ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
    about = [figures["machine"], f"Versions: {versions}.", f"Date: {figures['date']}."]
    sentences = [Paragraph(text) for text in about if text]
    return [
        *(
            [Table("The written reader, and the time that it took.", ["", ""], rows)]
            if rows
            else []
        ),
        *sentences,
    ]


def _commands(figures: Figures) -> list[Block]:
    if not figures["commands"]:
        return []
    lines = [f"$ cd {shlex.quote(figures['folder'])}"]
    for title, command in figures["commands"]:
        lines += [f"# {title}", f"$ {command}"]
    text = (
        "Each step is a program of its own on a config in this folder. Change a config, and run "
        "the commands from there on again. If you change the number of iterations, change the "
        "name of the checkpoint in the configs and commands after it."
    )
    return [Paragraph(text), Code("\n".join(lines))]
