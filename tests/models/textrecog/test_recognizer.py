"""A whole recognizer, from labelled words to text, and what works where MMOCR is missing."""

import json
import os
import subprocess
import sys

import mmengine.registry
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mms_ocr.cli import testing, training
from mms_ocr.registry import DATASETS, MODELS

WITHOUT_MMOCR = """
import sys
sys.modules["mmocr"] = None
import mms_ocr.datasets, mms_ocr.models
from mms_ocr.registry import MODELS, TRANSFORMS
MODELS.build(dict(type="mms_ocr.TextViT", arch="tiny"))
TRANSFORMS.build(dict(type="mms_ocr.PackWordImage"))
for registry, name in ((MODELS, "TextDecoder"), (TRANSFORMS, "PackLabelledWord")):
    try:
        registry.build(dict(type=f"mms_ocr.{name}"))
    except ImportError as error:
        print(error)
"""
ENCODER = dict(embed_dims=48, num_layers=2, num_heads=4, feedforward_channels=96)
LITTLE = [
    *(f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")),
    *(f"{part}_dataloader.persistent_workers=False" for part in ("train", "val", "test")),
    *(f"{part}_dataloader.batch_size=2" for part in ("train", "val", "test")),
    *(f"{part}_dataloader.dataset.num_samples=4" for part in ("val", "test")),
    "model.decoder.n_layers=1",
    "model.decoder.max_seq_len=34",
]


def test_everything_else_works_without_mmocr(repository):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MMOCR],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in ("TextDecoder", "PackLabelledWord"):
        assert sum(f"mms_ocr.{name} needs MMOCR" in line for line in lines) == 1


def words(count, text=("cab", "deaf", "bed", "face")):
    return DATASETS.build(
        dict(
            type="mms_ocr.RenderedWordDataset",
            num_samples=count,
            words=list(text),
            random_string_share=0.0,
            case="lower",
            max_length=4,
            difficulty=0.0,
            pipeline=[
                dict(type="mms_ocr.ResizeWordImage", size=(32, 64)),
                dict(type="mms_ocr.PackLabelledWord"),
            ],
        )
    )


@pytest.mark.parametrize("scope", ["mms_ocr", "mmocr"])
def test_a_recognizer_overfits_a_few_words(decoder_config, scope):
    """Without an encoder between the map and the decoder, which is of another width."""
    mmengine.registry.init_default_scope(scope)
    decoder = decoder_config(d_input=48, word_confidence=True, dropout=0.0, max_seq_len=8)
    decoder["module_loss"]["reduction"] = "mean"
    model = MODELS.build(
        dict(
            type="mmocr.EncoderDecoderRecognizer",
            backbone=dict(type="mms_ocr.TextViT", arch=ENCODER, img_size=(32, 64)),
            decoder=decoder,
            data_preprocessor=dict(
                type="mmocr.TextRecogDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3
            ),
        )
    )
    model.init_weights()
    dataset = words(8)
    texts = [dataset.renderer.content(index)[0] for index in range(8)]
    assert len(set(texts)) > 2
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        data = model.data_preprocessor(pseudo_collate([dataset[i] for i in range(8)]), True)
        loss = model(**data, mode="loss")["loss_ce"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    model.eval()
    with torch.no_grad():
        read = model.test_step(pseudo_collate([dataset[index] for index in range(8)]))
    assert [sample.pred_text.item for sample in read] == texts
    for sample in read:
        assert len(sample.pred_text.score) == len(sample.pred_text.item)
        assert 0.5 < sample.pred_text.confidence <= min(sample.pred_text.score)
        assert sample.gt_text.item == sample.pred_text.item


def test_labelled_words_are_packed_for_mmocr():
    packed = words(2)[1]
    assert packed["inputs"].shape == (3, 32, 64)
    assert packed["inputs"].dtype == torch.uint8
    sample = packed["data_samples"]
    assert sample.gt_text.item == words(2).renderer.content(1)[0]
    assert (sample.img_shape, sample.valid_ratio) == ((32, 64), 1.0)
    assert sample.img_path == "rendered:0:1"
    unlabelled = words(1)
    unlabelled.load = lambda index: dict(
        img=packed["inputs"].permute(1, 2, 0).numpy(), img_path="a.png"
    )
    unlabelled.pipeline.transforms.pop(0)
    with pytest.raises(ValueError, match=r"a\.png: no text to train on; set labelled=True"):
        unlabelled[0]


@pytest.mark.parametrize(
    ("size", "width", "grid", "tokens"),
    [
        ("n", 128, (4, 32), 32),  # one for each column
        ("t", 192, (8, 32), 256),
        ("s", 384, (8, 32), 256),
        ("b", 768, (8, 32), 256),
    ],
)
def test_configs_build_and_their_decoder_takes_the_map(repository, size, width, grid, tokens):
    cfg = Config.fromfile(repository / "configs" / "textrecog" / f"mms_vit_{size}_ar_words.py")
    mmengine.registry.init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert model.backbone.embed_dims == width
    assert model.decoder.dictionary.num_classes == 94 + 3
    assert model.backbone.grid == grid
    memory, mask = model.decoder._memory(torch.zeros(1, width, *grid), None, None)
    assert memory.shape == (1, tokens, min(width, 384))
    assert mask is None


def test_a_run_trains_evaluates_and_is_tested(repository, tmp_path, capfd):
    config = str(repository / "configs" / "textrecog" / "mms_vit_s_ar_rendered.py")
    options = ["--work-dir", str(tmp_path), "--cfg-options", *LITTLE]
    assert training.main([config, "--iterations", "2", *options]) == 0
    lines = [
        json.loads(line)
        for path in tmp_path.rglob("vis_data/scalars.json")
        for line in path.read_text().splitlines()
    ]
    assert all(0 < line["loss_ce"] < 20 for line in lines if "loss_ce" in line)
    assert sum("recog/word_acc_ignore_case_symbol" in line for line in lines) == 2
    assert testing.main([config, str(tmp_path / "iter_2.pth"), *options]) == 0
    assert "recog/char_recall" in "".join(capfd.readouterr())
    # A label that the decoder has no room for ends the run, and says which.
    options += ["model.decoder.max_seq_len=3"]
    assert training.main([config, "--iterations", "1", *options]) == 2
    message = capfd.readouterr().err.splitlines()[-1]
    assert message.startswith("train.py: rendered:0:")
    assert "max_seq_len of the decoder leaves room for 1" in message
