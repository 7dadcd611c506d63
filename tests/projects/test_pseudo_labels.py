"""Words that a reader labels itself: those it reads with confidence, as it reads them."""

import importlib.util
import json

import cv2
import numpy as np
import pytest

from mms_ocr.apis import WordReader

pytest.importorskip("mmocr")


@pytest.fixture(scope="module")
def script(repository):
    path = repository / "projects" / "studies" / "weights" / "pseudo_labels.py"
    spec = importlib.util.spec_from_file_location("pseudo_labels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_confident_readings_become_labels(script, tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = {"noise.png": rng.integers(0, 256, (32, 128, 3), np.uint8)}
    for word in ("STREET", "hotel"):
        image = np.full((48, 30 * len(word), 3), 230, np.uint8)
        cv2.putText(image, word, (8, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (30, 30, 30), 3)
        images[f"{word}.png"] = image
    for name, image in images.items():
        assert cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "broken.png").write_bytes(b"no image")
    names = ["missing.png", "broken.png", *images]
    source = tmp_path / "unlabelled.jsonl"
    source.write_text("".join(json.dumps({"filename": name}) + "\n" for name in names))
    readings = {name: WordReader()(str(tmp_path / name)) for name in images}
    confidences = sorted(readings[name].confidence for name in images)
    least = (confidences[0] + confidences[1]) / 2  # the image with the least is left out
    script.label_files(script.parse_args([str(source), "--least", str(least)]))
    lines = (tmp_path / "pseudo_labelled.jsonl").read_text().splitlines()
    kept = [name for name in images if readings[name].confidence >= least]
    assert len(kept) == 2
    assert [json.loads(line) for line in lines] == [
        {"filename": name, "text": readings[name].text} for name in kept
    ]
    # Images that cannot be read do not move the labels of others.
    assert "2 of 5 words; 2 cannot be read" in capsys.readouterr().out
