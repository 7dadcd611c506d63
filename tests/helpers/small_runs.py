"""Small runs of MMEngine's Runner, and a runner of single steps."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from mms_ocr.engine import SkipNonFiniteHook
from mms_ocr.registry import OPTIM_WRAPPERS


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
    """Record the samples that a run reads, in order."""
    runner.train()
    return runner.train_dataloader.dataset.read


def stop_after(runner, iteration, number=signal.SIGTERM):
    """Send the run a signal while it computes an iteration."""
    step = runner.model.train_step

    def signaled(*args, **kwargs):
        if runner.iter == iteration - 1:
            os.kill(os.getpid(), number)
        return step(*args, **kwargs)

    runner.model.train_step = signaled
    return runner


class Job(SimpleNamespace):
    """A runner that trains two layers to give the difference of two inputs."""

    def __init__(
        self,
        max_in_row=3,
        wrapper="OptimWrapper",
        dtype=torch.float32,
        optimizer="AdamW",
        lr=0.01,
        **settings,
    ):
        torch.manual_seed(0)
        self.logged = []
        model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 1))
        steps = getattr(torch.optim, optimizer)(model.parameters(), lr=lr)
        super().__init__(
            model=model,
            iter=0,
            dtype=dtype,
            message_hub=MessageHub.get_instance(f"job {id(self)}"),
            optim_wrapper=OPTIM_WRAPPERS.build(dict(type=wrapper, optimizer=steps, **settings)),
            logger=SimpleNamespace(warning=self.logged.append, info=self.logged.append),
        )
        self.inputs = torch.randn(32, 8)
        self.hook = SkipNonFiniteHook(max_in_row)
        self.hook.before_train(self)

    def step(self, change=lambda loss: loss):
        with self.optim_wrapper.optim_context(self.model):
            outputs = self.model(self.inputs)
        assert outputs.dtype == self.dtype
        targets = self.inputs[:, :1] - self.inputs[:, 1:2]
        loss = change((outputs.float() - targets).square().mean())
        self.optim_wrapper.update_params(loss)
        self.hook.after_train_iter(self, self.iter, outputs={"loss": loss.detach()})
        self.iter += 1
        return loss.item()

    def state(self):
        optimizer = self.optim_wrapper.optimizer.state_dict()["state"]
        moments = [value for state in optimizer.values() for value in state.values()]
        return torch.cat([p.detach().flatten() for p in [*self.model.parameters(), *moments]])

    @property
    def scale(self):
        return self.optim_wrapper.loss_scaler.get_scale()

    @property
    def counts(self):
        return self.hook.overflowed, self.hook.skipped, self.hook.in_row
