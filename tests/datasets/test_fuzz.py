"""Damaged images, annotation files and LMDB values: a clear error or the right thing, no crash."""

import json

import numpy as np
import pytest

from mms_ocr.datasets import decode_image
from mms_ocr.datasets.sources import open_source
from mms_ocr.utils.errors import BrokenImageError

fuzz_data = pytest.importorskip("fuzz_data", reason="the fuzzer needs hypothesis")
KINDS = ["jpeg", "png", "other", "stretch", "mask", "lines", "lmdb"]


def fuzz_of(kind, folder):
    if kind == "lines":
        return fuzz_data.JsonlFuzz(folder)
    return fuzz_data.LmdbFuzz(folder) if kind == "lmdb" else fuzz_data.ImageFuzz(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_data_are_never_read_wrongly(tmp_path, kind):
    endings, faults = fuzz_data.run(fuzz_of(kind, tmp_path), 60)
    assert faults == []
    assert endings["refused"]
    assert sum(endings.values()) - endings["unchanged"] == 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_times(tmp_path, kind):
    assert fuzz_data.run(fuzz_of(kind, tmp_path), 1000)[1] == []


def test_fuzzer_detects_a_lenient_decoder(monkeypatch):
    def careless(data):
        try:
            return decode_image(data)
        except BrokenImageError:
            return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(fuzz_data, "decode_image", careless)
    endings, faults = fuzz_data.run(fuzz_data.ImageFuzz("png"), 20)
    assert endings["wrong"] == len(faults) > 15


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"filename": "a\\ud800.png"}', "not Unicode text"),
        (b'{"filename": "a.png", "text": "\\udfff"}', "not Unicode text"),
        (b'{"filename": "a\\u0000.png"}', "not Unicode text"),
        (b'{"filename": "\xed\xa0\x80.png"}', "not Unicode text"),
        (b"[" * 100_000, "not JSON"),
        (b'{"filename": "../secret.png"}', "outside of the data root"),
        (b'{"filename": "a/../../secret.png"}', "outside of the data root"),
        (b'{"filename": "/etc/passwd"}', "outside of the data root"),
    ],
)
def test_malicious_lines_raise(tmp_path, line, message):
    (tmp_path / "words").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    path = tmp_path / "words" / "labels.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=message) as raised:
        open_source(str(path))
    assert "line 1" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_half_of_a_png_is_no_image():
    """OpenCV shows the rows that came before the damage, and says nothing to Python."""
    (_, data) = fuzz_data.make_images()[2]
    middle = data.index(b"IDAT") + len(data) // 3
    damaged = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    with pytest.raises(BrokenImageError, match=r"checksum of a part \(b'IDAT'\)"):
        decode_image(damaged)
    with pytest.raises(BrokenImageError, match="truncated"):
        decode_image(data[:-9])


@pytest.mark.parametrize("tag", ["../secret", "/etc/passwd", "a\0", 7, None])
def test_textseg_names_outside_the_folder_raise(tmp_path, tag):
    from mms_ocr.dataset_tools.records import open_records

    (tmp_path / "annotation").mkdir()
    (tmp_path / "split.json").write_text(json.dumps(dict(train=[tag])))
    with pytest.raises(ValueError, match="is not an image name"):
        open_records(str(tmp_path), "textseg", splits=("train",))
