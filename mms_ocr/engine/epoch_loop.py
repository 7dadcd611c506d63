"""A training loop of epochs that resumes exactly, also within an epoch."""

from __future__ import annotations

from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from mms_ocr.engine.loops import Resumable, batch_size_of, find_sampler, seeded_loader
from mms_ocr.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochLoop(Resumable, EpochBasedTrainLoop):
    """MMEngine's loop of epochs, which can stop and resume within an epoch.

    An epoch has as many batches as the loader, also with an endless sampler. A stopped run ends
    after the iteration; the resumed run trains on the rest of that epoch. With an EndlessSampler it
    continues as if it had not stopped; with another sampler, it reads the batches before again and
    discards them, and random transforms draw other numbers.

    Args:
        runner: The runner.
        dataloader: Loader or its config. A config with an EndlessSampler is seeded by sample.
        max_epochs: Length of the run.
        **kwargs: Arguments of MMEngine's loop: ``val_begin``, ``val_interval``, ….

    Raises:
        ValueError: An epoch has no batch, or a hook begins after the run.
    """

    def __init__(
        self, runner: Any, dataloader: DataLoader | dict, max_epochs: int, **kwargs: Any
    ) -> None:
        if isinstance(dataloader, dict):
            dataloader = seeded_loader(dataloader, runner.seed)
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        if len(self.dataloader) == 0:
            raise ValueError(
                f"an epoch of train_dataloader has no batch: its {len(self.dataloader.dataset)} "  # type: ignore[arg-type]
                "images are fewer than batch_size; lower batch_size, or set drop_last=False"
            )
        self._prepare(by_epoch=True)
        self._epoch_start = 0  # its first iteration
        sampler = find_sampler(self.dataloader)
        self._endless = isinstance(sampler, InfiniteSampler) or hasattr(sampler, "set_position")
        if self._endless:
            self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)

    def in_epoch(self, iteration: int) -> int:
        """Count the samples of the epoch that all ranks have trained on before an iteration."""
        return (iteration - self._epoch_start) * self._samples_of_step()

    def run(self) -> Any:
        """Train."""
        self.runner.call_hook("before_train")
        self._report_if_done(self._epoch, self._max_epochs, "epoch")
        if self._iter > 0:
            self._resume()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            if not self.stop_training:
                self._decide_current_val_interval()
                self._validate_if_due()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on the epoch, or on the rest of it in a resumed run."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self._iter - self._epoch_start
        if not self._endless:
            self.dataloader_iterator = iter(self.dataloader)
            for _ in range(first):
                self._next_batch()
        for index in range(first, len(self.dataloader)):
            self.run_iter(index, self._next_batch())
            if self.stop_training:
                return
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self._epoch_start = self._iter

    def _resume(self) -> None:
        # MMEngine's own checkpoints have no position: the epoch starts anew.
        done = (self.resumed_in_epoch or 0) // self._samples_of_step()
        self._epoch_start = self._iter - min(done, len(self.dataloader))
        if not self._place_sampler() and self._endless:
            self._skip(self._iter)
        if done == 0 and self.validated_at != self._iter:
            self._validate_if_due()

    def _samples_of_step(self) -> int:
        return (batch_size_of(self.dataloader) or 1) * self.runner.world_size

    def _validate_if_due(self) -> None:
        if (
            self.runner.val_loop is not None
            and self._epoch >= self.val_begin
            and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)
        ):
            self._validate()
