"""The bundled models, once."""

import importlib.util

import pytest


@pytest.fixture(scope="session")
def page_models():
    if importlib.util.find_spec("mmocr") is None:
        pytest.skip("the page needs MMOCR")
    from mms_ocr.apis.web.results import PageModels

    return PageModels(device="cpu")
