"""Training loops that resume exactly."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader

from mms_ocr.engine.failures import ValidationStopped, explain_failures
from mms_ocr.engine.schedule import check_counting, fit_warm_ups
from mms_ocr.registry import LOOPS, type_name

# MMEngine's loops, what replaces them, and the setting that holds the length of the run.
_LOOPS = {
    "EpochBasedTrainLoop": ("mms_ocr.ResumableEpochLoop", "max_epochs"),
    "IterBasedTrainLoop": ("mms_ocr.ResumableTrainLoop", "max_iters"),
}


class Resumable:
    """Base of the training loops that resume exactly.

    A ``dataloader`` config with an EndlessSampler is seeded by sample. Other arguments are those of
    MMEngine's loop: ``max_iters`` or ``max_epochs``, ``val_begin``, ``val_interval``, ….
    """

    runner: Any
    dataloader: DataLoader
    dataloader_iterator: Any
    stop_training: bool
    val_begin: int
    val_interval: int
    _iter: int
    _max_iters: int

    def __init__(self, runner: Any, dataloader: DataLoader | dict, **kwargs: Any) -> None:
        if isinstance(dataloader, dict):
            dataloader = seeded_loader(dataloader, runner.seed)
        super().__init__(runner, dataloader, **kwargs)  # type: ignore[call-arg]
        # Of the checkpoint that the run resumes from: the state of the sampler, and the samples of
        # all ranks that the epoch had trained on.
        self.resumed_sampler: dict[str, Any] | None = None
        self.resumed_in_epoch: int | None = None
        self.validated_at: int | None = None  # iteration after which the last validation ended
        # Iteration and sample from which each rank draws batches of the current size.
        self._placed_at = (0, 0)
        # A stream has no length; MMEngine needs one only for schedulers.
        length = len(self.dataloader) if runner.param_schedulers else 1
        fit_warm_ups(runner.param_schedulers, length)
        by_epoch = isinstance(self, EpochBasedTrainLoop)
        check_counting(runner, self._max_iters, length, by_epoch)

    def drawn_by(self, iteration: int) -> int:
        """Count the samples that each rank has trained on before an iteration."""
        since, drawn = self._placed_at
        return drawn + (iteration - since) * (batch_size_of(self.dataloader) or 0)

    def in_epoch(self, iteration: int) -> int:
        """Count the samples of the epoch that all ranks have trained on before an iteration."""
        return 0

    def _place_sampler(self) -> bool:
        """Move the sampler to the position of a resumed run; return whether it can be moved."""
        sampler = find_sampler(self.dataloader)
        batch_size = batch_size_of(self.dataloader)
        if self.resumed_sampler is not None and hasattr(sampler, "load_state_dict"):
            sampler.load_state_dict(self.resumed_sampler)
            drawn = self.resumed_sampler["position"] // sampler.world_size
            self._placed_at = (self._iter, drawn)
        elif batch_size and hasattr(sampler, "set_position"):
            sampler.set_position(self._iter * batch_size)
        else:
            return False
        # An older iterator may have drawn already.
        self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        return True

    def _skip(self, iterations: int) -> None:
        """Discard batches, as MMEngine does."""
        if hasattr(self.dataloader_iterator, "skip_iter"):  # of onedl-mmengine
            self.dataloader_iterator.skip_iter(iterations)
        else:
            for _ in range(iterations):
                next(self.dataloader_iterator)

    def _next_batch(self) -> Any:
        with explain_failures(iteration=self._iter):
            return next(self.dataloader_iterator)

    def _report_if_done(self, done: int, length: int, unit: str) -> None:
        if done >= length > 0:
            line = f"the checkpoint is of {unit} {done:,}, and the run has {length:,}"
            print_log(f"nothing left to train: {line}", logger="current")

    def _validate_if_due(self, done: int, length: int) -> None:
        """Validate if a validation is due after ``done`` epochs or iterations of ``length``."""
        if self.runner.val_loop is None or done < self.val_begin:
            return
        if done % self.val_interval == 0 or done == length:
            try:
                self.runner.val_loop.run()
            except ValidationStopped:
                self.stop_training = True
            else:
                self.validated_at = self._iter


@LOOPS.register_module()
class ResumableTrainLoop(Resumable, IterBasedTrainLoop):
    """MMEngine's loop of iterations, which resumes as if it had not stopped.

    The sampler jumps to its position without reading, random transforms draw what they would have
    drawn (:class:`~mms_ocr.datasets.SeededDataset`), and a validation that did not end runs first.
    Raises ValueError if a scheduler or the checkpoint hook counts epochs.
    """

    def run(self) -> Any:
        """Train."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self._report_if_done(self._iter, self._max_iters, "iteration")
        if self._iter > 0:
            if not self._place_sampler():
                self._skip(self._iter)
            if self.validated_at != self._iter:
                self._validate_if_due(self._iter, self._max_iters)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._next_batch())
            self._decide_current_val_interval()
            if not self.stop_training:
                self._validate_if_due(self._iter, self._max_iters)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


@LOOPS.register_module()
class ResumableEpochLoop(Resumable, EpochBasedTrainLoop):
    """MMEngine's loop of epochs, which can stop and resume within an epoch.

    An epoch has as many batches as the loader, also with an endless sampler. A resumed run trains
    on the rest of its epoch: with an EndlessSampler as if it had not stopped; with another sampler
    it reads the batches before again and discards them, and transforms draw other random numbers.
    Raises ValueError if an epoch has no batch, or a hook begins after the run.
    """

    def __init__(self, runner: Any, dataloader: DataLoader | dict, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        if len(self.dataloader) == 0:
            images = len(self.dataloader.dataset)  # type: ignore[arg-type]
            raise ValueError(
                f"an epoch of train_dataloader has no batch: its {images} images are fewer than "
                "batch_size; lower batch_size, or set drop_last=False"
            )
        self._epoch_start = 0  # its first iteration
        sampler = find_sampler(self.dataloader)
        self._is_endless = isinstance(sampler, InfiniteSampler) or hasattr(sampler, "set_position")
        if self._is_endless:
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
                self._validate_if_due(self._epoch, self._max_epochs)
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on the epoch, or on the rest of it in a resumed run."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self._iter - self._epoch_start
        if not self._is_endless:
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
        # MMEngine's own checkpoints have no position: the epoch starts again.
        done = (self.resumed_in_epoch or 0) // self._samples_of_step()
        self._epoch_start = self._iter - min(done, len(self.dataloader))
        if not self._place_sampler() and self._is_endless:
            self._skip(self._iter)
        if done == 0 and self.validated_at != self._iter:
            self._validate_if_due(self._epoch, self._max_epochs)

    def _samples_of_step(self) -> int:
        return (batch_size_of(self.dataloader) or 1) * self.runner.world_size


def use_resumable_loop(train_cfg: dict) -> None:
    """Replace one of MMEngine's loops in a config by the resumable one, in place.

    Raises ValueError if the config has settings of both loops, or lacks the length of the run.
    """
    lengths = [key for key in ("max_iters", "max_epochs") if key in train_cfg]
    if len(lengths) > 1 or ("type" in train_cfg and "by_epoch" in train_cfg):
        raise ValueError(
            f"train_cfg has settings of two loops ({', '.join(train_cfg)}); add _delete_=True to "
            "it to drop the inherited ones"
        )
    name = type_name(train_cfg)
    if not name and "by_epoch" in train_cfg:
        name = "EpochBasedTrainLoop" if train_cfg.pop("by_epoch") else "IterBasedTrainLoop"
    if name in _LOOPS:
        train_cfg["type"], length = _LOOPS[name]
        if length not in train_cfg:
            raise ValueError(f"train_cfg of {name} has no {length}; set the length of the run")


def seeded_loader(dataloader: dict, seed: int) -> dict:
    """Return the config of a loader, with random transforms seeded by ``seed`` and sample.

    Only an EndlessSampler numbers its samples; other loaders are returned as they are.
    """
    dataset, sampler = dataloader.get("dataset"), dataloader.get("sampler")
    if not isinstance(dataset, dict) or not isinstance(sampler, dict):
        return dataloader
    if type_name(sampler) != "EndlessSampler":
        return dataloader
    seeded = copy.deepcopy(dataloader)
    seeded["sampler"]["numbered"] = True
    seeded["dataset"] = dict(type="mms_ocr.SeededDataset", dataset=seeded["dataset"], seed=seed)
    return seeded


def end_workers(*loops: Any) -> None:
    """End the worker processes of loops: they ignore the signal by which Python ends them at exit.

    Persistent workers belong to the loader, and others to an iterator over it.
    """
    for loop in loops:
        for name in ("dataloader", "dataloader_iterator"):
            owner = getattr(loop, name, None)
            iterator: Any = getattr(owner, "_iterator", owner)
            if hasattr(iterator, "_shutdown_workers"):
                iterator._shutdown_workers()


def find_sampler(dataloader: DataLoader) -> Any:
    """Return the sampler of a loader, also from inside of a plain batch sampler."""
    batches = dataloader.batch_sampler
    return batches.sampler if type(batches) is BatchSampler else dataloader.sampler


def batch_size_of(dataloader: DataLoader) -> int | None:
    """Return the number of samples in a batch on each rank; None if batches differ in size."""
    if dataloader.batch_size is not None:
        return dataloader.batch_size
    return getattr(dataloader.batch_sampler, "batch_size", None)
