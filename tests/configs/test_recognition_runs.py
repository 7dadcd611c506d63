"""Recognizers from the command line, on few images: averaging, probing, and bad input."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from yapf.yapflib import yapf_api

from mms_ocr.cli import testing, training
from mms_ocr.models import TextViT
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.registry import METRICS

pytest.importorskip("mmocr")

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
TINY = """
_base_ = [{bases}]
model = dict(
    backbone=dict(
        _delete_=True, type="mms_ocr.TextViT", arch={arch}, drop_path_rate=0.5, {backbone}
    ),
    decoder=dict({decoder}),
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
test_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
{more}
"""
AR = dict(d_model=16, d_embedding=16, n_head=2, d_k=8, d_v=8, d_inner=16, n_layers=1, d_input=24)
CTC = dict(in_channels=24)


@METRICS.register_module(force=True)
class MeanScore(BaseMetric):
    """Mean score of the characters that are read, which any change of the weights changes."""

    def process(self, data_batch, data_samples):
        self.results += [np.sum(sample["pred_text"]["score"]) for sample in data_samples]

    def compute_metrics(self, results):
        return {"score": float(np.mean(results))}


@pytest.fixture(autouse=True)
def _plain_configs(monkeypatch):
    """Configs as they are: laying them out takes most of the time of a tiny run."""
    monkeypatch.setattr(yapf_api, "FormatCode", lambda text, **style: (text, False))


@pytest.fixture(autouse=True)
def _registered_metric():
    METRICS.register_module(name="MeanScore", module=MeanScore, force=True)
    yield
    METRICS.module_dict.pop("MeanScore", None)


@pytest.fixture
def config(request, tmp_path):
    """Writes a tiny child of a config, and gives its path."""

    def write(name, *bases, backbone="", more="", **decoder):
        configs = request.config.rootpath / "configs"
        paths = [configs / "textrecog" / name, *(configs / "_base_" / base for base in bases)]
        decoder = (AR if "_ar_" in name else CTC) | decoder
        text = TINY.format(
            bases=", ".join(repr(str(path)) for path in paths),
            arch=ARCH,
            backbone=backbone,
            decoder=", ".join(f"{key}={value!r}" for key, value in decoder.items()),
            more=more,
        )
        path = tmp_path / f"tiny_{name}"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def words(tmp_path):
    """Writes labelled images as JSON lines."""

    def write(*labels):
        rng, lines = np.random.default_rng(0), []
        for index, text in enumerate(labels or [f"ab{number}" for number in range(12)]):
            image = rng.integers(0, 256, (16, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f"{index}.png"), image)
            lines.append(json.dumps({"filename": f"{index}.png", "text": text}))
        path = tmp_path / "words.jsonl"
        path.write_text("\n".join(lines))
        return str(path)

    return write


@pytest.fixture
def encoder(tmp_path):
    """A pretrained encoder, and the setting that loads it."""
    model, path = TextViT(arch=ARCH), str(tmp_path / "encoder.pth")
    model.init_weights()
    torch.save({"state_dict": model.state_dict()}, path)
    return model, f'init_cfg=dict(type="mms_ocr.PretrainedTextViT", checkpoint={path!r})'


def run(command, config, data, folder, *options, settings=()):
    holdout = [f"{part}_dataloader.dataset.holdout.share=0.4" for part in ("train", "val", "test")]
    arguments = [config, *options, "--data", data, "--work-dir", str(folder)]
    return command.main([*arguments, "--cfg-options", *holdout, *settings])


def complaint(capfd, command):
    written = capfd.readouterr().err.strip().splitlines()
    messages = [line for line in written if line.startswith(f"{command}.py: ")]
    assert not any("Traceback" in line for line in written)
    assert len(messages) == 1, written
    return messages[0]


def test_averaged_weights_are_validated_saved_and_tested(config, words, tmp_path):
    every = [
        "default_hooks.checkpoint.interval=1",
        "default_hooks.checkpoint.max_keep_ckpts=-1",
        "default_hooks.checkpoint.save_best=None",
        "train_cfg.val_interval=1",
        "optim_wrapper.optimizer.lr=0.1",
    ]
    more = 'val_evaluator = [dict(type="mms_ocr.MeanScore")]\ntest_evaluator = val_evaluator'
    averaging = config("mms_vit_t_ar_words.py", "ema.py", more=more)
    data = words()
    assert run(training, averaging, data, tmp_path / "a", "--iterations", "4", settings=every) == 0
    average = None
    for step in range(4):
        checkpoint = read_checkpoint(tmp_path / "a" / f"iter_{step + 1}.pth")
        saved, current = checkpoint["state_dict"], checkpoint["ema_state_dict"]
        weights = {key: current[f"module.{key}"] for key in saved}
        share = max(2e-4, 10 / (10 + step))
        average = average or weights
        average = {key: average[key] + share * (weights[key] - average[key]) for key in weights}
        for key, value in saved.items():
            torch.testing.assert_close(value, average[key])
    assert not torch.equal(saved["decoder.classifier.weight"], weights["decoder.classifier.weight"])
    (scalars,) = (tmp_path / "a").rglob("vis_data/scalars.json")
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    validated = [line["score"] for line in lines if "score" in line]
    assert len(set(validated)) == 4
    torch.save({"state_dict": weights}, tmp_path / "current.pth")
    plain = config("mms_vit_t_ar_words.py", more=more)
    for number, (given, path, same) in enumerate(
        [
            (plain, tmp_path / "a" / "iter_4.pth", True),
            (averaging, tmp_path / "a" / "iter_4.pth", True),
            (plain, tmp_path / "current.pth", False),
        ]
    ):
        folder = tmp_path / f"t{number}"
        # Of test.py's own choice of a metric, ours is kept by giving no --data.
        settings = [
            f"test_dataloader.dataset.{key}" for key in (f"path={data}", "holdout.share=0.4")
        ]
        arguments = [given, str(path), "--work-dir", str(folder), "--cfg-options", *settings]
        assert testing.main(arguments) == 0
        (result,) = folder.glob("*/*.json")
        score = json.loads(result.read_text())["score"]
        assert (score == pytest.approx(validated[-1], rel=1e-5)) == same


def test_probe_trains_only_its_head(config, words, encoder, tmp_path, capfd):
    encoder, init = encoder
    probe = config("mms_vit_s_ctc_words_probe.py", backbone=f"frozen_stages=2, {init}")
    assert run(training, probe, words(), tmp_path / "run", "--iterations", "3") == 0
    checkpoint = read_checkpoint(tmp_path / "run" / "iter_3.pth")
    for key, value in encoder.state_dict().items():
        assert torch.equal(checkpoint["state_dict"][f"backbone.{key}"], value), key
    groups = checkpoint["optimizer"]["param_groups"]
    trained = [key for key in checkpoint["state_dict"] if not key.startswith("backbone.")]
    assert sum(len(group["params"]) for group in groups) == len(trained) == 3
    assert checkpoint["state_dict"]["decoder.row_score.weight"].any()
    # One line has the number of trained parameters, instead of a line for every frozen one.
    logged = "".join(capfd.readouterr())
    assert "parameters are trainable" in logged
    assert "is skipped since" not in logged


def test_pretrained_encoder_trains_with_layer_decay(config, words, encoder, tmp_path):
    rates = []
    for backbone in (encoder[1], ""):
        folder = tmp_path / f"run{len(rates)}"
        tiny = config("mms_vit_t_ar_words.py", backbone=backbone)
        assert run(training, tiny, words(), folder, "--iterations", "1") == 0
        groups = read_checkpoint(folder / "iter_1.pth")["optimizer"]["param_groups"]
        rates.append(sorted({group["initial_lr"] / 1e-4 for group in groups}))
    assert rates[0] == pytest.approx([0.75**3, 0.75**2, 0.75, 1])
    assert rates[1] == [1]


@pytest.mark.parametrize(
    ("name", "label", "decoder", "message"),
    [
        ("mms_vit_t_ar_words.py", "", {}, "the label is empty"),
        ("mms_vit_t_ctc_words.py", "", {}, "the label is empty"),
        ("mms_vit_t_ar_words.py", "x" * 47, {}, "has 47 characters, and max_seq_len of the"),
        ("mms_vit_t_ctc_words.py", "x" * 17, {}, "needs 33 columns"),
        (
            "mms_vit_t_ctc_words.py",
            "Zürich",
            dict(dictionary=dict(with_unknown=False)),
            "characters outside the dictionary: 'ü' (U+00FC)",
        ),
        (
            "mms_vit_t_ar_words.py",
            "Zürich",
            dict(dictionary=dict(with_unknown=False)),
            "characters outside the dictionary: 'ü' (U+00FC)",
        ),
    ],
)
def test_invalid_label_ends_the_run(config, words, tmp_path, capfd, name, label, decoder, message):
    data = words(*["ab", label] * 6)
    status = run(training, config(name, **decoder), data, tmp_path / "run", "--iterations", "3")
    line = complaint(capfd, "train")
    assert status == 2, line
    assert message in line
    assert ".png" in line or "words.jsonl" in line


def test_too_many_broken_images_end_the_run(config, words, tmp_path, capfd):
    data = words()
    for index in range(12):
        (tmp_path / f"{index}.png").write_bytes(b"no image")
    status = run(
        training, config("mms_vit_t_ctc_words.py"), data, tmp_path / "run", "--iterations", "1"
    )
    assert status == 2
    assert "broken" in complaint(capfd, "train")


@pytest.mark.parametrize("name", ["mms_vit_t_ar_words.py", "mms_vit_t_ctc_words.py"])
@pytest.mark.parametrize("characters", ["abcd", "".join(map(chr, range(126, 32, -1)))])
def test_dictionary_of_another_checkpoint_raises(config, words, tmp_path, capfd, name, characters):
    """Fewer characters, and the same number in another order."""
    data, folder = words(), tmp_path / "run"
    assert run(training, config(name), data, folder, "--iterations", "1") == 0
    path = tmp_path / "characters.txt"
    path.write_text("\n".join(characters))
    other = config(name, dictionary=dict(dict_file=str(path)))
    checkpoint = str(folder / "iter_1.pth")
    capfd.readouterr()
    assert run(testing, other, data, tmp_path / "t", checkpoint) == 2
    line = complaint(capfd, "test")
    count = len(characters) + (3 if "_ar_" in name else 2)
    if len(characters) < 94:
        assert f"instead of ({count}," in line
        assert "the dictionary of the decoder is not that of the checkpoint" in line
        expected = str(count)
    else:
        expected = "the checkpoint has '0' at index 0, the dictionary '~'"
        assert expected in line
    for options, settings in (
        (["--iterations", "2"], [f"load_from={checkpoint}"]),
        (["--iterations", "2", "--resume", checkpoint], []),
    ):
        status = run(training, other, data, tmp_path / "r", *options, settings=settings)
        line = complaint(capfd, "train")
        assert status == 2, line
        assert expected in line
