"""Recognition needs MMOCR; without it these tests are skipped, saying so."""

import importlib.util

import pytest

import mms_ocr  # noqa: F401

collect_ignore_glob = []
if importlib.util.find_spec("mmocr") is None:
    collect_ignore_glob.append("test_*.py")


@pytest.fixture
def dict_file(tmp_path):
    """Writes a dictionary file of these characters."""

    def write(characters: str = "abcdefgh") -> str:
        path = tmp_path / "characters.txt"
        path.write_text("\n".join(characters))
        return str(path)

    return write


@pytest.fixture
def decoder_config(dict_file):
    """Config of a small decoder; ``tokens`` are settings of its dictionary."""

    def make(kind="mms_ocr.TextDecoder", max_seq_len=9, tokens=None, **settings):
        special = dict(with_start=True, with_end=True, same_start_end=True, with_padding=True)
        return dict(
            type=kind,
            n_layers=2,
            d_embedding=16,
            d_model=16,
            n_head=2,
            d_k=8,
            d_v=8,
            d_inner=32,
            dictionary=dict(
                type="mmocr.Dictionary", dict_file=dict_file(), **{**special, **(tokens or {})}
            ),
            module_loss=dict(type="mmocr.CEModuleLoss", flatten=True, ignore_first_char=True),
            postprocessor=dict(type="mmocr.AttentionPostprocessor"),
            max_seq_len=max_seq_len,
            **settings,
        )

    return make
