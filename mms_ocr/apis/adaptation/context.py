"""What a report on an adaptation is made from, beside the files in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Training:
    """A training of an adaptation."""

    title: str  # such as "fine-tuning"
    run: str  # its work folder, relative to the output folder
    iterations: int
    batch_size: int  # of all devices together
    seconds: float = 0.0

    @property
    def views(self) -> int:
        """Images that it has seen, repeated ones too."""
        return self.iterations * self.batch_size


@dataclass(frozen=True)
class Reader:
    """A reader that is compared; ``words`` of None is one that was not trained or tested."""

    name: str  # "bundled", "finetune_plain" or "finetune"
    title: str  # such as "bundled reader mms_vit_n_ar"
    words: str | None  # file of tools/test.py --save-words, relative to the output folder
    trainings: tuple[str, ...] = ()  # keys of ReportContext.trainings, in order
    labels: int = 0  # labelled words that it was trained on


@dataclass(frozen=True)
class Reconstructions:
    """A pretraining config and its weights before and after, for pictures of masked crops."""

    config: str  # relative to the output folder
    before: str  # mms_ocr://NAME, or a file relative to the output folder
    after: str


@dataclass
class ReportContext:
    """What an adaptation did, beside the files in its folder.

    The trained readers are ``finetune_plain``, without pretraining on the crops, and ``finetune``,
    with it; the one to start from is ``bundled``.
    """

    readers: Sequence[Reader]
    trainings: Mapping[str, Training]
    facts: Mapping[str, Any]  # of the data
    options: Mapping[str, Any] = field(default_factory=dict)  # of the command
    commands: Sequence[tuple[str, str]] = ()  # title and command, as run in the output folder
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage; "all" may be one of them
    speeds: Mapping[str, float] = field(default_factory=dict)  # title → images per second
    parameters: int = 0  # of the reader
    file_sizes: Mapping[str, int] = field(default_factory=dict)  # name → bytes
    machine: str = ""
    reconstructions: Reconstructions | None = None
    notes: Sequence[str] = ()  # sentences, such as about a comparison that was cut short
