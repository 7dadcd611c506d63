"""Devices that are there, and names of others."""

import pytest
import torch

from mms_ocr.utils.devices import usable_device


def test_existing_devices():
    assert usable_device("cpu") == "cpu"
    assert usable_device() == ("cuda" if torch.cuda.device_count() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", "cuda:-1", "meta", "privateuseone"])
def test_missing_devices_raise(name):
    with pytest.raises(ValueError, match=f"there is no device '{name}'"):
        usable_device(name)
