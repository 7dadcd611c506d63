import argparse
import json
import os
import re

import cv2
import numpy as np
import pytest


@pytest.fixture
def vit_t(repository):
    return str(repository / "configs/mms/pretrain_vit_t.py")


def test_browse_masks_draws_the_originals_and_hides_the_share_asked_for(tool, vit_t, tmp_path):
    out = tmp_path / "masks.png"
    options = argparse.Namespace(
        config=vit_t,
        images=[],
        out=str(out),
        num=2,
        draws=1,
        ratios=[0.5],
        seed=0,
        cfg_options=None,
    )
    tool("analysis_tools/browse_masks.py").browse(options)
    sheet = cv2.imread(str(out))
    gap, header, height, width = 4, 14, 64, 256
    assert sheet.shape == (header + 2 * (height + gap) + gap, 4 * (width + gap) + gap, 3)
    for row in range(2):
        for column in range(4):
            top, left = header + gap + row * (height + gap), gap + column * (width + gap)
            cell = sheet[top : top + height, left : left + width]
            gray = (cell.reshape(8, 8, 32, 8, 3) == 128).all(axis=(1, 3, 4))
            # Half of 256 patches of 4 pixels, drawn twice as large.
            assert gray.sum() == (0 if column == 0 else 128)


def test_mask_coverage_counts_single_patches_and_never_the_whole_image(tool, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 128, 3), np.uint8))
    boxes = {"single": [[4, 4, 4, 4]], "whole": [[0, 0, 128, 32]]}
    shares = {}
    for name, box in boxes.items():
        file = tmp_path / f"{name}.jsonl"
        line = json.dumps({"filename": "a.png", "text": "a", "char_boxes": box})
        file.write_text((line + "\n") * 50)
        options = argparse.Namespace(
            annotations=str(file), ratios=[0.5], size=[32, 128], patch_size=4, draws=40, seed=0
        )
        tool("analysis_tools/mask_coverage.py").measure(options)
        rows = re.findall(r"\| (\w+) \| ([\d.]+) \|", capsys.readouterr().out)
        shares[name] = {strategy: float(share) for strategy, share in rows}
    assert set(shares["whole"].values()) == {0.0}
    assert len(shares["single"]) == 3
    assert shares["single"]["random_patch"] == pytest.approx(50, abs=5)


def test_plot_curves_reads_validation_at_the_iteration_of_its_writing(tool, tmp_path):
    folder = tmp_path / "run" / "20260101_000000" / "vis_data"
    folder.mkdir(parents=True)
    rows = [
        {"loss": 1.0, "loss_pixel": 1.0, "iter": 10, "step": 10},
        {"masked_error/mean": 0.9, "step": 0},
        {"loss": 0.8, "loss_pixel": 0.8, "iter": 20, "step": 20},
        {"masked_error/mean": 0.7, "step": 20},
    ]
    (folder / "scalars.json").write_text("\n".join(json.dumps(row) for row in rows))
    module = tool("analysis_tools/plot_curves.py")
    read = module.read_scalars(str(tmp_path / "run"))
    assert [row["iteration"] for row in read] == [10, 10, 20, 20]
    out = tmp_path / "curves.png"
    module.plot(argparse.Namespace(work_dirs=[str(tmp_path / "run")], out=str(out)))
    assert cv2.imread(str(out)) is not None
    with pytest.raises(FileNotFoundError, match="is not a work folder"):
        module.read_scalars(str(tmp_path / "nothing"))


def run_of(tmp_path, *starts):
    """A work folder with what each start of a run logged."""
    for number, rows in enumerate(starts):
        folder = tmp_path / "run" / f"2026010{number + 1}_000000" / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text("\n".join(json.dumps(row) for row in rows))
    return str(tmp_path / "run")


def test_curves_of_a_resumed_run_are_joined(tool, tmp_path):
    def logged(*iterations, loss):
        return [{"loss": loss, "iter": iteration, "step": iteration} for iteration in iterations]

    work_dir = run_of(tmp_path, logged(10, 20, 30, loss=2.0), logged(20, 30, 40, loss=1.0), [])
    read = tool("analysis_tools/plot_curves.py").read_scalars(work_dir)
    curve = [(row["iteration"], row["loss"]) for row in read]
    assert curve == [(10, 2.0), (20, 1.0), (30, 1.0), (40, 1.0)]


@pytest.mark.parametrize(
    ("validated", "title", "curves"),
    [
        (
            {"recog/word_acc": 0.2, "recog/word_acc_ignore_case_symbol": 0.3, "recog/x": 1.0},
            "word accuracy, held-out words",
            {"word_acc": 0.2, "word_acc_ignore_case_symbol": 0.3},
        ),
        (
            {"foreground/iou_dataset": 0.7, "foreground/images": 64.0},
            "foreground, held-out images",
            {"iou_dataset": 0.7},
        ),
        ({"PSNR": 25.0, "SSIM": 0.8}, "PSNR of held-out images, dB", {"PSNR": 25.0}),
        ({}, "validation", {}),
    ],
)
def test_curves_of_the_other_tasks(tool, tmp_path, validated, title, curves):
    training = {"loss": 3.0, "loss_ctc": 2.0, "loss_location": 1.0, "iter": 10, "step": 10}
    work_dir = run_of(tmp_path, [training, {**validated, "step": 10}])
    module = tool("analysis_tools/plot_curves.py")
    rows = module.read_scalars(work_dir)
    parts = {"loss": 3.0, "loss_ctc": 2.0, "loss_location": 1.0}
    assert module.training_curves(rows, True) == {key: [(10, loss)] for key, loss in parts.items()}
    assert module.training_curves(rows, False) == {"loss": [(10, 3.0)]}
    expected = {key: [(10, value)] for key, value in curves.items()}
    assert module.validation_curves(rows) == (title, expected)
    out = tmp_path / "curves.png"
    module.plot(argparse.Namespace(work_dirs=[work_dir, work_dir], out=str(out)))
    assert cv2.imread(str(out)) is not None


def test_probe_takes_names_and_measures_of_an_architecture(tool):
    parse = tool("analysis_tools/probe_characters.py").parse_arch
    assert parse("small") == "small"
    assert parse("192,6,3")["feedforward_channels"] == 768
    with pytest.raises(ValueError, match="width,layers,heads"):
        parse("192,6")


def attention_options(out, **changed):
    options = dict(images=["IN"], weights=None, config=None, device="cpu", num=1, query="cls")
    return argparse.Namespace(
        **{**options, **dict(layers=None, heads=False, rollout=False), **changed}, out=str(out)
    )


def test_attention_of_a_patch_by_layer_and_by_head(tool, tmp_path):
    # The bundled encoder has 4 layers, 4 heads and a grid of 4×32 patches.
    word = tmp_path / "word.png"
    cv2.imwrite(str(word), np.full((32, 128, 3), 200, np.uint8))
    draw = tool("analysis_tools/attention_maps.py").draw
    for changed, columns in ((dict(rollout=True), 6), (dict(query="3,31", layers=[4, 1]), 3)):
        draw(attention_options(tmp_path / "out.png", images=[str(word)], **changed))
        sheet = cv2.imread(str(tmp_path / "out.png"))
        assert sheet.shape == (14 + 64 + 2 * 4, columns * (256 + 4) + 4, 3)
    # The last patch has a frame.
    corner = sheet[14 + 4 + 48 : 14 + 4 + 64, 4 + 248 : 4 + 256]
    assert (corner[0] == [255, 200, 0]).all()
    assert (sheet[14 + 4, 4 : 4 + 248] == 200).all()
    draw(attention_options(tmp_path / "out.png", images=[str(word)], heads=True, layers=[2]))
    width = 5 * (256 + 4) + 96 + 4 + 4
    assert cv2.imread(str(tmp_path / "out.png")).shape == (14 + 64 + 2 * 4, width, 3)


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        (dict(query="4,0"), "4×32"),
        (dict(query="1"), "'1'"),
        (dict(layers=[5]), "has 5"),
        (dict(num=0), "is 0"),
        (dict(config="mms_vit_n_ctc_words", weights="word.pth"), "word.pth"),
    ],
)
def test_attention_names_options_that_cannot_be_used(tool, tmp_path, changed, value):
    draw = tool("analysis_tools/attention_maps.py").draw
    with pytest.raises((ValueError, OSError), match=value):
        draw(attention_options(tmp_path / "out.png", images=[str(tmp_path)], **changed))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("path", "function", "options"),
    [
        ("attention_maps.py", "draw", dict(images=["IN"], config=None, weights=None)),
        ("browse_dataset.py", "browse", dict(config="c.py", data=["IN"], num=1)),
        ("browse_masks.py", "browse", dict(config="c.py", images=["IN"])),
        ("compare_pixels.py", "compare", dict(config="c.py", checkpoint="c", data=["IN"], num=1)),
        ("plot_curves.py", "plot", dict(work_dirs=["IN"])),
    ],
)
def test_pictures_never_replace_inputs(tool, tmp_path, path, function, options):
    (tmp_path / "word.png").write_bytes(b"a word")
    os.link(tmp_path / "word.png", tmp_path / "other.png")
    options = {key: [str(tmp_path)] if value == ["IN"] else value for key, value in options.items()}
    program = getattr(tool(f"analysis_tools/{path}"), function)
    for out, error in (("other.png", ValueError), ("a.gif", ValueError), (".", OSError)):
        with pytest.raises((error, ValueError)):
            program(argparse.Namespace(**options, out=str(tmp_path / out)))
    assert (tmp_path / "word.png").read_bytes() == b"a word"


def test_characters_are_counted_by_confidence(tool):
    module = tool("analysis_tools/character_confidence.py")
    words = [("Ab", "aC", [0.5, 0.995]), ("abc", "ab", [0.1, 0.2]), ("d", "d", [1.0]), ("", "", [])]
    judged = module.judge_characters(words)
    assert judged == [(0.5, True), (0.995, False), (1.0, True)]
    assert module.table_lines(judged)[2:] == [
        "| 0 to 0.6 | 1 | 50.0% | 100.0% |",
        "| 0.99 to 1 | 2 | 99.8% | 50.0% |",
    ]
