"""Configs of super-resolution: every one builds, and a run goes from training to testing."""

import json
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mms_ocr.cli import testing, training
from mms_ocr.registry import DATASETS, MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "super_resolution"
NAMES = sorted(path.name for path in CONFIGS.glob("*.py"))
SIZES = {"n": ("nano", 128), "t": ("tiny", 192), "s": ("small", 384)}
TINY = """_base_ = ["{base}"]
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=24, num_layers=1, num_heads=3, feedforward_channels=48)
    ),
    decoder=dict(decoder_embed_dim=24, decoder_depth=1),
)
loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
"""
NUMBERS = ["PSNR", "PSNR_batch", "SSIM", "SSIM_batch"]


def word_picture(rng):
    image = np.full((24, 90, 3), rng.integers(100, 256), np.uint8)
    cv2.putText(image, "word", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (20, 60, 20), 2)
    return image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of words, and of pairs of them."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part in ("words", "pairs/hr", "pairs/lr"):
        (folder / part).mkdir(parents=True)
    for index in range(20):
        image = word_picture(rng)
        cv2.imwrite(str(folder / "words" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "pairs/hr" / f"{index}.png"), image)
        small = cv2.resize(image, (45, 12), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / "pairs/lr" / f"{index}.png"), small)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Write a child of a bundled config with a tiny model."""
    folder = tmp_path_factory.mktemp("configs")

    def write(name):
        path = folder / name
        path.write_text(TINY.format(base=CONFIGS / name))
        return str(path)

    return write


def test_folder_holds_the_expected_configs():
    expected = [f"mms_vit_{size}_sr_words.py" for size in SIZES]
    expected += [f"mms_vit_s_sr_{data}.py" for data in ("pairs", "rendered", "textzoom")]
    assert sorted(expected) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_config_matches_its_name(name):
    cfg = Config.fromfile(CONFIGS / name)
    arch, width = SIZES[name.split("_")[2]]
    assert cfg.model.backbone.arch == arch
    assert cfg.model.decoder.decoder_embed_dim == width
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    if "rendered" in name:
        assert train.type == val.type == "mms_ocr.RenderedWordDataset"
        assert train.seed != val.seed
    else:
        assert train.path == val.path
        assert (train.holdout.part, val.holdout.part) == ("train", "val")
        assert train.holdout.share == val.holdout.share
    if "textzoom" in name:
        assert tuple(train.splits) == tuple(val.splits) == ("train1", "train2")
        splits = ("test/easy", "test/medium", "test/hard")
        assert tuple(cfg.test_dataloader.dataset.splits) == splits
    elif "words" not in name:
        assert cfg.test_dataloader == cfg.val_dataloader


@pytest.mark.parametrize("size", SIZES)
def test_model_builds_and_starts_from_bicubic(size):
    cfg = Config.fromfile(CONFIGS / f"mms_vit_{size}_sr_words.py")
    model = MODELS.build(cfg.model)
    model.init_weights()
    image = torch.randint(0, 256, (1, 3, 16, 64), dtype=torch.uint8)
    (sample,) = model.eval().test_step(dict(inputs=image))
    assert sample.pred_img.shape == (3, 32, 128)
    assert torch.equal(sample.pred_img, sample.bicubic_img)


def test_rendered_words_are_sharp_in_truth_and_degraded_the_same_way_in_validation():
    cfg = Config.fromfile(CONFIGS / "mms_vit_s_sr_rendered.py")
    train, val = (DATASETS.build(cfg[f"{part}_dataloader"].dataset) for part in ("train", "val"))
    first, again, other = val[3], val[3], train[3]
    assert first["inputs"].shape == (3, 16, 64)
    assert first["gt_img"].shape == (3, 32, 128)
    assert torch.equal(first["inputs"], again["inputs"])
    assert not torch.equal(first["gt_img"], other["gt_img"])
    np.random.seed(0)
    spoilt = [train[3] for _ in range(2)]
    assert torch.equal(spoilt[0]["gt_img"], spoilt[1]["gt_img"])
    assert not torch.equal(spoilt[0]["inputs"], spoilt[1]["inputs"])
    assert first["data_samples"].text


def logged(folder):
    lines = []
    for path in sorted(folder.rglob("vis_data/scalars.json")):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    return lines


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny, pictures):
    folder = tmp_path_factory.mktemp("run")
    options = ["--data", str(pictures / "words"), "--work-dir", str(folder), "--iterations", "20"]
    options += ["--cfg-options", "optim_wrapper.optimizer.lr=0.01", "train_cfg.val_interval=20"]
    assert training.main([tiny("mms_vit_t_sr_words.py"), *options]) == 0
    return folder


def test_run_writes_scores_checkpoint_and_pictures(run):
    assert (run / "iter_20.pth").is_file()
    assert list(run.glob("best_PSNR_iter_20.pth"))
    (line,) = [line for line in logged(run) if "PSNR" in line]
    for number in NUMBERS:
        assert np.isfinite(line[number])
        assert np.isfinite(line[f"bicubic/{number}"])
    assert line["PSNR"] > line["bicubic/PSNR"]
    (picture,) = run.glob("*/pictures/*.png")
    assert cv2.imread(str(picture)) is not None
    assert all(0 < line["loss_pixel"] < 0.1 for line in logged(run) if "loss_pixel" in line)


def test_all_words_that_are_held_out_are_tested():
    cfg = Config.fromfile(CONFIGS / "mms_vit_t_sr_words.py")
    val, test = cfg.val_dataloader.dataset.to_dict(), cfg.test_dataloader.dataset.to_dict()
    assert val.pop("indices") == 2048
    assert val == test


def test_testing_gives_the_numbers_of_the_validation(run, tiny, pictures, tmp_path):
    options = ["--data", str(pictures / "words"), "--work-dir", str(tmp_path)]
    arguments = [tiny("mms_vit_t_sr_words.py"), str(run / "iter_20.pth"), *options]
    assert testing.main(arguments) == 0
    (path,) = tmp_path.glob("*/*.json")
    tested = json.loads(path.read_text())
    (validated,) = [line for line in logged(run) if "PSNR" in line]
    for number in NUMBERS:
        assert tested[number] == pytest.approx(validated[number], abs=1e-4)


def test_run_resumes(run, tiny, pictures):
    options = ["--data", str(pictures / "words"), "--work-dir", str(run), "--iterations", "21"]
    assert training.main([tiny("mms_vit_t_sr_words.py"), *options, "--resume"]) == 0
    assert (run / "iter_21.pth").is_file()


def test_pairs_of_your_own_are_one_option(tiny, pictures, tmp_path):
    options = ["--data", str(pictures / "pairs"), "--work-dir", str(tmp_path), "--iterations", "1"]
    assert training.main([tiny("mms_vit_s_sr_pairs.py"), *options]) == 0
    assert any("PSNR" in line for line in logged(tmp_path))


@pytest.fixture(scope="module")
def textzoom(tmp_path_factory):
    """A folder in the layout of the release, with eight pairs in each of its LMDBs."""
    root, rng = tmp_path_factory.mktemp("zoom") / "TextZoom", np.random.default_rng(1)
    for split in ("train1", "train2", "test/easy", "test/medium", "test/hard"):
        entries = {"num-samples": b"8"}
        for number in range(1, 9):
            image = word_picture(rng)
            small = cv2.resize(image, (45, 12), interpolation=cv2.INTER_AREA)
            entries[f"image_hr-{number:09d}"] = cv2.imencode(".png", image)[1].tobytes()
            entries[f"image_lr-{number:09d}"] = cv2.imencode(".png", small)[1].tobytes()
            entries[f"label-{number:09d}"] = b"word"
        (root / split).mkdir(parents=True)
        with (
            lmdb.open(str(root / split), map_size=1 << 24) as file,
            file.begin(write=True) as open_,
        ):
            for key, value in entries.items():
                open_.put(key.encode(), value)
    return root


def test_textzoom_from_its_folder_to_a_table(tiny, textzoom, tmp_path, capsys):
    config, data = tiny("mms_vit_s_sr_textzoom.py"), ["--data", str(textzoom)]
    folder = ["--work-dir", str(tmp_path)]
    assert training.main([config, *folder, *data, "--iterations", "1"]) == 0
    assert any("PSNR" in line for line in logged(tmp_path))
    capsys.readouterr()
    assert testing.main([config, str(tmp_path / "iter_1.pth"), *folder, *data]) == 0
    out = capsys.readouterr().out
    table = [line.split("|") for line in out.splitlines() if line.startswith("|")]
    subsets = ["easy", "medium", "hard", "all"]
    assert [row[1].strip() for row in table[2:]] == [name for name in subsets for _ in range(2)]
    path = max(tmp_path.glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    tested = json.loads(path.read_text())
    each = [tested[f"{subset}/PSNR"] for subset in subsets[:3]]
    assert tested["PSNR"] == pytest.approx(sum(each) / 3, abs=1e-3)
    assert f"{tested['easy/PSNR']:.2f}" == table[3][3].strip()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mms_vit_t_sr_words.py", ["--data", "/no/such/words"], "/no/such/words"),
        ("mms_vit_s_sr_pairs.py", ["--data", "/no/such/pairs"], "no pairs of resolutions at"),
        ("mms_vit_s_sr_textzoom.py", [], "no pairs of resolutions at 'data/TextZoom/train1'"),
        ("mms_vit_s_sr_rendered.py", ["--data", "words"], "reads no files"),
        (
            "mms_vit_s_sr_rendered.py",
            ["--cfg-options", "model.criterion=L3"],
            "criterion must be 'L1' or 'L2', got 'L3'",
        ),
    ],
)
def test_bad_input_gives_one_line(tiny, tmp_path, capfd, name, options, message):
    status = training.main([tiny(name), "--work-dir", str(tmp_path), *options])
    assert status == 2
    written = capfd.readouterr().err.strip().splitlines()
    (complaint,) = [line for line in written if line.startswith("train.py: ")]
    assert message in complaint
    assert not any("Traceback" in line for line in written)


def test_empty_set_and_exchanged_pairs_give_one_line(tiny, pictures, tmp_path, capfd):
    exchanged = tmp_path / "exchanged"
    exchanged.mkdir()
    (exchanged / "hr").symlink_to(pictures / "pairs" / "lr")
    (exchanged / "lr").symlink_to(pictures / "pairs" / "hr")
    (tmp_path / "empty").mkdir()
    for data, message in ((exchanged, "are the two exchanged?"), (tmp_path / "empty", "no pairs")):
        options = ["--data", str(data), "--work-dir", str(tmp_path / "run")]
        assert training.main([tiny("mms_vit_s_sr_pairs.py"), *options]) == 2
        written = capfd.readouterr().err.strip().splitlines()
        (complaint,) = [line for line in written if line.startswith("train.py: ")]
        assert message in complaint
