"""A line and ten numbers, for small runs of MMEngine's Runner."""

from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset


class Numbers(Dataset):
    """Ten numbers; which of them were read is noted."""

    metainfo = {}

    def __init__(self, broken=()):
        self.read = []
        self.broken = broken

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.broken:
            raise RuntimeError("too many images\nare broken")
        return {"inputs": torch.full((1,), float(index))}


class Line(BaseModel):
    """A line with noise on it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        inputs = torch.stack(inputs)
        if mode == "predict":
            return [{"pred": value} for value in self.layer(inputs)]
        return {"loss": (self.layer(inputs) + torch.rand_like(inputs)).square().mean()}


class Score(BaseMetric):
    """A score that a list says."""

    scores = ()

    def process(self, data_batch, data_samples):
        self.results.append(torch.rand(()))  # draws, as some metrics do

    def compute_metrics(self, results):
        return {"score": self.scores.pop(0)}


def names(folder):
    return sorted(path.name for path in Path(folder).glob("*.pth"))


def read_by(runner):
    """The samples that a run reads, in order."""
    runner.train()
    return runner.train_dataloader.dataset.read
