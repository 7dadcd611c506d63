"""Training that goes on exactly where it was."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader

from mms_ocr.engine.failures import ValidationStopped, in_one_line
from mms_ocr.registry import LOOPS

__all__ = ["ResumableTrainLoop", "end_workers", "find_sampler", "seeded_loader"]


@LOOPS.register_module()
class ResumableTrainLoop(IterBasedTrainLoop):
    """MMEngine's loop of iterations, whose resumed run does what the one that stopped would have.

    The sampler is put at its position without a batch being read, random transforms draw what they
    would have drawn (:class:`~mms_ocr.datasets.SeededDataset`), and a validation that was due and
    did not end is run first. What cannot be read ends the run in one line.

    Args:
        runner: The runner.
        dataloader: Loader or its config. A config with an EndlessSampler is made exact.
        max_iters: Length of the run.
        **kwargs: Arguments of MMEngine's loop: ``val_begin``, ``val_interval``, ….
    """

    def __init__(
        self, runner: Any, dataloader: DataLoader | dict, max_iters: int, **kwargs: Any
    ) -> None:
        if isinstance(dataloader, dict):
            dataloader = seeded_loader(dataloader, runner.seed)
        super().__init__(runner, dataloader, max_iters, **kwargs)
        # What a checkpoint said of the run that it was saved in; see ExactResumeHook.
        self.resumed_sampler: dict[str, Any] | None = None
        self.validated_at: int | None = None
        # From which iteration and sample on each rank draws a batch of this size at a time.
        self._placed_at = (0, 0)

    def drawn_by(self, iteration: int) -> int:
        """Samples that each rank has trained on before an iteration."""
        since, drawn = self._placed_at
        return drawn + (iteration - since) * (_batch_size(self.dataloader) or 0)

    def run(self) -> Any:
        """Train."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter >= self._max_iters > 0:
            print_log(
                f"nothing is left to train: the checkpoint is of iteration {self._iter:,}, and the "
                f"run has {self._max_iters:,}",
                logger="current",
            )
        if self._iter > 0:
            self._go_on()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._next_batch())
            self._decide_current_val_interval()
            if not self.stop_training:
                self._validate_if_due()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _go_on(self) -> None:
        if not self._place_sampler():
            # A sampler that cannot be placed is drawn from, as MMEngine does.
            skip = getattr(self.dataloader_iterator, "skip_iter", None)
            if skip is not None:
                skip(self._iter)
            else:
                for _ in range(self._iter):
                    next(self.dataloader_iterator)
        if self.validated_at != self._iter:
            self._validate_if_due()

    def _place_sampler(self) -> bool:
        sampler = find_sampler(self.dataloader)
        batch_size = _batch_size(self.dataloader)
        if self.resumed_sampler is not None and hasattr(sampler, "load_state_dict"):
            sampler.load_state_dict(self.resumed_sampler)
            drawn = self.resumed_sampler["position"] // sampler.world_size
            self._placed_at = (self._iter, drawn)
        elif batch_size and hasattr(sampler, "set_position"):
            sampler.set_position(self._iter * batch_size)
        else:
            return False
        # An iterator made before may have drawn already.
        self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        return True

    def _next_batch(self) -> Any:
        with in_one_line(reading=self._iter):
            return next(self.dataloader_iterator)

    def _validate_if_due(self) -> None:
        due = (
            self.runner.val_loop is not None
            and self._iter >= self.val_begin
            and (self._iter % self.val_interval == 0 or self._iter == self._max_iters)
        )
        if not due:
            return
        try:
            self.runner.val_loop.run()
        except ValidationStopped:
            self.stop_training = True
        else:
            self.validated_at = self._iter


def seeded_loader(dataloader: dict, seed: int) -> dict:
    """The config of a loader with random transforms seeded by sample, where the sampler allows.

    Args:
        dataloader: Config of a loader; not changed.
        seed: Of the run.
    """
    dataset, sampler = dataloader.get("dataset"), dataloader.get("sampler")
    if not isinstance(dataset, dict) or not isinstance(sampler, dict):
        return dataloader
    kind = sampler.get("type", "")
    if getattr(kind, "__name__", str(kind)).split(".")[-1] != "EndlessSampler":
        return dataloader
    dataloader = copy.deepcopy(dataloader)
    dataloader["sampler"]["numbered"] = True
    dataloader["dataset"] = dict(
        type="mms_ocr.SeededDataset", dataset=dataloader["dataset"], seed=seed
    )
    return dataloader


def end_workers(dataloader: Any) -> None:
    """End the worker processes that a loader, or an endless iterator over one, keeps, if any."""
    iterator = getattr(dataloader, "_iterator", None)
    if iterator is not None and hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()


def find_sampler(dataloader: DataLoader) -> Any:
    """The sampler of a loader, also inside of a plain batch sampler."""
    batches = dataloader.batch_sampler
    if type(batches) is BatchSampler:
        return batches.sampler
    return dataloader.sampler


def _batch_size(dataloader: DataLoader) -> int | None:
    if dataloader.batch_size is not None:
        return dataloader.batch_size
    return getattr(dataloader.batch_sampler, "batch_size", None)
