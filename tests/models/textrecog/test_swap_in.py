"""TextViT under every recognizer family of MMOCR: builds, trains, reads."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.utils.data import Subset

from mms_ocr.models import TextViT
from mms_ocr.registry import DATASETS, MODELS

# One layer of everything, as wide as in the config.
SHALLOW = dict(embed_dims=384, num_layers=1, num_heads=6, feedforward_channels=384)
ONE, SHORT = dict(n_layers=1), dict(max_seq_len=12)
FAMILIES = {
    "satrn": dict(encoder=dict(n_layers=1, d_inner=384), decoder=ONE | SHORT),
    "nrtr": dict(encoder=ONE, decoder=ONE | SHORT),
    "sar": dict(decoder=dict(d_k=32) | SHORT),
    "robust_scanner": dict(decoder=SHORT),
    "abinet_vision": dict(encoder=ONE, decoder=SHORT),
    "abinet": dict(encoder=ONE, decoder=dict(num_iters=1, language_decoder=ONE) | SHORT),
    "master": dict(decoder=ONE | SHORT),
    "crnn": dict(),
    "aster": dict(decoder=SHORT),
    "svtr": dict(),
    "maerec_s": dict(decoder=ONE | SHORT),
}
PIPELINE = [
    dict(type="mms_ocr.ResizeWordImage", size=(32, 128)),
    dict(type="mms_ocr.PackLabelledWord"),
]
NUM_WORDS, STEPS = 4, 6


@pytest.fixture(scope="module")
def words(request):
    """A few words of IIIT5K train, or rendered ones where it is absent."""
    try:
        folder = request.getfixturevalue("shared_data") / "iiit5k"
    except pytest.skip.Exception:
        dataset = dict(type="mms_ocr.RenderedWordDataset", num_samples=NUM_WORDS, max_length=10)
        return DATASETS.build(dict(dataset, pipeline=PIPELINE))
    path = folder / "train.jsonl"
    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    chosen = [index for index, text in enumerate(texts) if text.isalnum() and len(text) < 9]
    dataset = dict(type="mms_ocr.WordImageDataset", path=str(path), labelled=True)
    return Subset(DATASETS.build(dict(dataset, pipeline=PIPELINE)), chosen[:NUM_WORDS])


def read_config(repository, family):
    return Config.fromfile(repository / "configs" / "textrecog" / "swap_in" / f"{family}.py")


@pytest.mark.parametrize("family", FAMILIES)
def test_config_trains_and_reads(repository, words, family):
    config = read_config(repository, family)
    init_default_scope(config.default_scope)
    config.merge_from_dict(dict(model=FAMILIES[family]))
    config.model.backbone.update(arch=SHALLOW, drop_path_rate=0.0)
    model = MODELS.build(config.model)
    model.init_weights()
    assert isinstance(model.backbone, TextViT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    model.train()
    for _ in range(STEPS):
        batch = pseudo_collate([words[index] for index in range(NUM_WORDS)])
        data = model.data_preprocessor(batch, training=True)
        loss, _ = model.parse_losses(model(**data, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) / 2 < 0.85 * losses[0], losses
    # All of the encoder that the recognizer uses is trained.
    still = [name for name, p in model.backbone.named_parameters() if p.grad is None]
    assert set(still) <= {"pos_embed"}
    model.eval()
    with torch.no_grad():
        read = model.test_step(pseudo_collate([words[index] for index in range(NUM_WORDS)]))
    for sample in read:
        assert isinstance(sample.pred_text.item, str)
        assert len(sample.pred_text.score) >= len(sample.pred_text.item)


def test_every_config_is_tried(repository):
    folder = repository / "configs" / "textrecog" / "swap_in"
    names = {path.stem for path in folder.glob("[!_]*.py")}
    assert names == {*FAMILIES, "maerec_b"}


def test_maerec_has_the_sizes_of_its_weights(repository):
    """Shapes of Union14M's maerec_s and maerec_b configs."""
    for size, width in (("s", 384), ("b", 768)):
        config = read_config(repository, f"maerec_{size}")
        init_default_scope(config.default_scope)
        shapes = {
            key: value.shape for key, value in MODELS.build(config.model).state_dict().items()
        }
        assert shapes["backbone.pos_embed"] == (1, 257, width)
        assert shapes["backbone.layers.11.attn.qkv.weight"] == (3 * width, width)
        assert shapes["decoder.classifier.weight"] == (94, width)
        assert shapes["decoder.position_enc.position_table"] == (1, 200, width)
        assert shapes["decoder.layer_stack.5.enc_attn.linear_k.weight"] == (width, width)
        assert shapes["decoder.layer_stack.5.mlp.w_1.weight"] == (4 * width, width)
        assert len(shapes) == 150 + 114
