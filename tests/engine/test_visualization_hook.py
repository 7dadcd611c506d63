"""VisualizationHook: pictures of images without files, with names that any file system allows."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from mms_ocr.engine import VisualizationHook
from mms_ocr.engine.hooks.visualization_hook import use_visualization_hook

PATHS = ["/data/words.lmdb:image-000000007", "rendered:0:3", "a/w\udce9rd 1.png", "b/w_rd_1.png"]


class Drawing(Visualizer):
    """Keeps what it is given."""

    def __init__(self, name="drawing"):
        super().__init__(name)
        self.drawn = []

    def add_datasample(self, name, image, **options):
        self.drawn.append((name, image, options))


def test_images_of_all_sources_are_drawn_at_their_size():
    runner = SimpleNamespace(iter=10, visualizer=Drawing())
    hook = VisualizationHook(enable=True, interval=5, draw_gt=True)
    hook.before_run(runner)
    images = [torch.full((3, 4, 8), 10 * number, dtype=torch.uint8) for number in range(4)]
    for number, image in enumerate(images):
        image[0] += 1 + number  # blue
    samples = [BaseDataElement(metainfo=dict(img_path=path, ori_shape=(6, 9))) for path in PATHS]
    for batch_idx in range(7):
        hook.after_val_iter(runner, batch_idx, dict(inputs=images), samples)
    assert [options["step"] for *_, options in runner.visualizer.drawn] == [10] * 4 + [15] * 4
    names = [name for name, *_ in runner.visualizer.drawn[:4]]
    assert names == ["words_lmdb_image-000000007_0", "rendered_0_3_1", "w_rd_1_2", "w_rd_1_3"]
    for number, (_, picture, options) in enumerate(runner.visualizer.drawn[:4]):
        assert picture.shape == (6, 9, 3)
        assert np.unique(picture[..., 2]).tolist() == [10 * number + 1 + number]
        assert np.unique(picture[..., :2]).tolist() == [10 * number]
        assert (options["draw_gt"], options["draw_pred"]) == (True, False)
    hook.after_test_iter(runner, 3, dict(inputs=torch.stack(images)), samples)
    assert len(runner.visualizer.drawn) == 12


def test_padding_is_not_drawn():
    runner = SimpleNamespace(iter=0, visualizer=Drawing())
    image = torch.cat([torch.ones(1, 4, 6), torch.zeros(1, 4, 2)], dim=2)
    sample = BaseDataElement(metainfo=dict(ori_shape=(8, 12), valid_ratio=0.75))
    VisualizationHook(enable=True).after_val_iter(runner, 0, dict(inputs=[image]), [sample])
    [(_, picture, _)] = runner.visualizer.drawn
    assert picture.shape[:2] == (8, 12)
    assert np.unique(picture).tolist() == [1]


@pytest.mark.parametrize("kind", ["mmocr.KIELocalVisualizer", "TextDetLocalVisualizer"])
def test_pages_are_drawn_by_mmocr(kind):
    hook = dict(type="mmocr.VisualizationHook", enable=True)
    cfg = Config(dict(custom_hooks=[hook], visualizer=dict(type=kind)))
    use_visualization_hook(cfg)
    assert cfg.custom_hooks == [hook]


def test_visualizer_without_drawing_raises():
    runner = SimpleNamespace(visualizer=Visualizer())
    VisualizationHook(enable=False).before_run(runner)
    with pytest.raises(ValueError, match=r"visualizer.type=mmocr\.TextRecogLocalVisualizer"):
        VisualizationHook(enable=True).before_run(runner)


@pytest.mark.parametrize(
    ("scope", "kind", "replaced"),
    [
        ("mms_ocr", "mmocr.VisualizationHook", True),
        ("mmocr", "VisualizationHook", True),
        ("mmpretrain", "VisualizationHook", False),
        ("mms_ocr", "mmpretrain.VisualizationHook", False),
    ],
)
def test_hook_of_mmocr_is_replaced(scope, kind, replaced):
    hooks = dict(default_hooks=dict(visualization=dict(type=kind, enable=True)))
    cfg = Config(dict(default_scope=scope, custom_hooks=[dict(type=kind)], **hooks))
    use_visualization_hook(cfg)
    expected = "mms_ocr.VisualizationHook" if replaced else kind
    assert cfg.default_hooks.visualization == dict(type=expected, enable=True)
    assert cfg.custom_hooks[0].type == expected
