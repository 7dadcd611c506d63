"""Effects of the runtime config on the log and the optimizer."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor


@pytest.mark.parametrize(
    ("mode", "name", "logged"),
    [("train", "error_span", 0.75), ("train", "loss", 0.75), ("val", "masked_error/mean", 0.5)],
)
def test_training_values_are_averaged_and_those_of_a_validation_are_not(
    repository, mode, name, logged
):
    config = Config.fromfile(repository / "configs/_base_/runtime.py")
    hub = MessageHub.get_instance(f"test_runtime_{mode}_{name}")
    for value in (1.0, 0.5):
        hub.update_scalar(f"{mode}/{name}", value)
    settings = dict(config.log_processor)
    assert settings.pop("type") == "LogProcessor"
    processor = LogProcessor(**settings)
    runner = SimpleNamespace(message_hub=hub, iter=1)
    assert processor._collect_scalars([], runner, mode)[name] == logged
