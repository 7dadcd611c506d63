"""A folder of an adaptation, and what its report is made from."""

import pytest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "my reader"


@pytest.fixture
def context(folder):
    from adaptation_folder import COUNT, fill, made_texts

    labels = [f"word{number}" for number in range(COUNT)]
    return fill(folder, labels, made_texts(labels))
