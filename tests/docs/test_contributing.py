"""The examples of CONTRIBUTING.md work as they are written."""

import importlib
import sys

import cv2
import pytest
import torch
from doc_blocks import blocks
from made_images import word_pixels
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import LabelData

from mms_ocr.registry import DATASETS, MODELS, TASK_UTILS


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """Writes the files of the examples, where Python finds them; returns their folder."""
    for block in blocks("python"):
        if block.page == "CONTRIBUTING.md":
            name, _, text = block.body.removeprefix("# ").partition("\n")
            (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").is_file():
            del sys.modules[name]
    TASK_UTILS.module_dict.pop("RowMask", None)
    DATASETS.module_dict.pop("TabbedWords", None)
    MODELS.module_dict.pop("RecurrentDecoder", None)


def test_the_mask_of_the_example_removes_whole_rows(examples):
    cfg = Config.fromfile("pretrain_rows.py")
    assert cfg.model.neck  # inherited
    importlib.import_module("row_mask")
    masks = TASK_UTILS.build(cfg.model.data_preprocessor.mask_generator)
    drawn = masks(50, rng=torch.Generator().manual_seed(0)).view(50, 8, 32)
    assert (drawn.sum(dim=(1, 2)) == 128).all()
    assert (drawn.any(dim=2) == drawn.all(dim=2)).all()
    assert len({tuple(mask[:, 0].tolist()) for mask in drawn}) > 20
    # Half of five rows: two rows, and half of another.
    uneven = TASK_UTILS.build(dict(type="mms_ocr.RowMask", ratio=0.5, grid=(5, 4)))(9)
    assert uneven.view(9, 5, 4).sum(dim=2).sort(dim=1).values.tolist() == [[0, 0, 2, 4, 4]] * 9


def write_words(folder):
    lines = []
    for number in range(20):
        cv2.imwrite(str(folder / f"{number}.png"), word_pixels(number))
        lines.append(f"{number}.png\tword{number}\n")
    (folder / "train.tsv").write_text("".join(lines))


def test_the_data_set_of_the_example_reads_and_counts(examples):
    pytest.importorskip("mmocr")
    write_words(examples)
    (examples / "3.png").write_bytes(b"broken")
    cfg = Config.fromfile("reader_on_tabbed_words.py")
    settings = dict(type="mms_ocr.TabbedWords", path="train.tsv", labelled=True, max_broken=0.1)
    words = DATASETS.build(settings)
    assert [words[index]["text"] for index in (0, 3, 19)] == ["word0", "word4", "word19"]
    assert words[19]["img"].tolist() == word_pixels(19).tolist()
    assert words.num_broken == 1
    parts = [
        {DATASETS.build(loader.dataset)[0]["data_samples"].gt_text.item}
        for loader in (cfg.train_dataloader, cfg.val_dataloader)
    ]
    assert not parts[0] & parts[1]
    (examples / "train.tsv").write_text("0.png\n")
    with pytest.raises(ValueError, match=r"train\.tsv"):
        DATASETS.build(settings)


def test_the_recognizer_of_the_example_trains_and_reads(examples):
    pytest.importorskip("mmocr")
    from mmocr.structures import TextRecogDataSample

    cfg = Config.fromfile("recurrent_reader.py")
    with DefaultScope.overwrite_default_scope("mms_ocr"):
        model = MODELS.build(cfg.model)
    samples = [
        TextRecogDataSample(metainfo=dict(valid_ratio=1.0, img_shape=(32, 128))) for _ in range(2)
    ]
    for sample, text in zip(samples, ("word", "Ab9!")):
        sample.gt_text = LabelData(item=text)
    images = [torch.from_numpy(cv2.resize(word_pixels(i), (128, 32))) for i in range(2)]
    batch = dict(inputs=[image.permute(2, 0, 1) for image in images], data_samples=samples)
    losses = model(**model.data_preprocessor(batch, True), mode="loss")
    assert list(losses) == ["loss_ctc"]
    losses["loss_ctc"].backward()
    assert model.decoder.recurrent.weight_hh_l0.grad.abs().sum() > 0
    read = model.eval().test_step(batch)
    # By hand: the best class of each column, without repetitions and blanks.
    features = model.extract_feat(model.data_preprocessor(batch)["inputs"])
    columns, _ = model.decoder.recurrent(features.mean(dim=2).transpose(1, 2))
    best = model.decoder.classifier(columns).argmax(-1)
    dictionary = model.decoder.dictionary
    for sample, tokens in zip(read, best.tolist()):
        merged = [token for i, token in enumerate(tokens) if i == 0 or token != tokens[i - 1]]
        expected = "".join(dictionary.dict[t] for t in merged if t != dictionary.padding_idx)
        assert sample.pred_text.item == expected
