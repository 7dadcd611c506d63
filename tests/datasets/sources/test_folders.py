"""Files of a folder that are word images: hidden files, links, pipes, layouts, strange names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_images import encode, word_pixels, write_jsonl
from mmengine.logging import MMLogger

from mms_ocr.datasets.sources import JsonlSource, open_source
from mms_ocr.utils import errors, walking
from mms_ocr.utils.decoding import read_image_file
from mms_ocr.utils.errors import BrokenImageError

fuzz_folders = pytest.importorskip("fuzz_folders", reason="the fuzzer needs hypothesis")


@pytest.fixture(autouse=True)
def warnings(monkeypatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(walking, "warn", messages.append)
    return messages


def make(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def names_of(root: Path) -> list[str]:
    source = open_source(root)
    return [os.path.relpath(source.name(index), root) for index in range(len(source))]


HIDDEN = ["._1.jpg", "__MACOSX/1.jpg", "__MACOSX/._1.jpg", ".ipynb_checkpoints/1-checkpoint.jpg"]
HIDDEN += [".Trash-0/files/2.jpg", "@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "$RECYCLE.BIN/a.jpg"]


def test_hidden_files_and_folders_are_skipped(tmp_path, warnings):
    make(tmp_path, "1.jpg", "a/2.jpg", *HIDDEN, *(f"a/{name}" for name in HIDDEN))
    assert names_of(tmp_path) == ["1.jpg", "a/2.jpg"]
    assert warnings == []


def test_a_hidden_file_that_may_be_a_word_is_reported(tmp_path, warnings):
    make(tmp_path, "1.jpg", ".5.jpg")
    assert names_of(tmp_path) == ["1.jpg"]
    assert "1 hidden files (such as '.5.jpg')" in warnings[0]


def test_the_root_may_be_hidden(tmp_path):
    assert names_of(make(tmp_path / ".data" / ".words", "1.jpg")) == ["1.jpg"]


def test_folders_named_as_images_are_folders(tmp_path):
    make(tmp_path, "x.jpg/1.png", "x.jpg/y.png/2.jpg")
    assert names_of(tmp_path) == ["x.jpg/1.png", "x.jpg/y.png/2.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipes_are_not_opened(tmp_path, warnings):
    make(tmp_path, "1.jpg")
    os.mkfifo(tmp_path / "2.jpg")
    (tmp_path / "3.jpg").symlink_to("2.jpg")
    (tmp_path / "4.jpg").symlink_to("/dev/zero")
    assert names_of(tmp_path) == ["1.jpg"]
    assert "3 pipes or devices" in warnings[0]
    for name in ("2.jpg", "3.jpg", "4.jpg"):
        with pytest.raises(BrokenImageError, match="a pipe or a device"):
            read_image_file(str(tmp_path / name))


def test_a_folder_is_no_image_file(tmp_path):
    descriptors = os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else []
    with pytest.raises(BrokenImageError):
        read_image_file(str(tmp_path))
    if descriptors:
        assert len(os.listdir("/dev/fd")) == len(descriptors)


def test_linked_folders_are_followed_and_loops_end(tmp_path, warnings):
    make(tmp_path / "disk", "part/2.jpg", "part/deep/3.jpg")
    root = make(tmp_path / "data" / "words", "1.jpg")
    make(tmp_path / "data", "other.jpg")
    (root / "b").symlink_to(tmp_path / "disk" / "part")
    (root / "c").symlink_to(tmp_path / "disk" / "part")  # the same once more
    (tmp_path / "disk" / "part" / "deep" / "loop").symlink_to(root)
    (root / "here").symlink_to(".")
    (root / "up").symlink_to("..")
    (root / "4.jpg").symlink_to(tmp_path / "disk" / "part" / "2.jpg")
    assert names_of(root) == ["1.jpg", "4.jpg", "b/2.jpg", "b/deep/3.jpg"]
    assert "4 links to folders that are listed already" in warnings[0]


def test_links_without_target(tmp_path, warnings):
    make(tmp_path, "1.jpg")
    (tmp_path / "2.jpg").symlink_to("gone.jpg")
    (tmp_path / "3.jpg").symlink_to("3.jpg")
    (tmp_path / "disk2").symlink_to("/mnt/not/mounted")
    source = open_source(tmp_path)
    assert len(source) == 3  # two are missing images, which are counted when they are read
    for index in (1, 2):
        with pytest.raises(BrokenImageError):
            source.read(index)
    assert "1 links without target (such as 'disk2')" in warnings[0]


def test_unreadable_folder_raises(tmp_path, monkeypatch):
    make(tmp_path, "1.jpg", "a/2.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match=r"a' cannot be read \(Permission denied\)"):
        open_source(tmp_path)


def test_files_of_other_kinds_are_counted_and_named(tmp_path, warnings):
    make(tmp_path, "1.jpg", "gt.txt", "Thumbs.db", "a/2.heic", "a/3.HEIC", "4.exr", "5", "5.jpg~")
    assert names_of(tmp_path) == ["1.jpg"]
    (message,) = warnings
    assert "2 .heic files (such as 'a/2.heic')" in message
    assert "and 1 more kinds" in message
    with pytest.raises(ValueError, match=r"2 \.heic files"):
        open_source(tmp_path / "a")


@pytest.mark.parametrize("name", ["1.jfif", "1.jpe", "1.dib", "1.PBM", "1.jp2", "1.tga", "1.img"])
def test_less_common_suffixes_are_images(tmp_path, name):
    assert names_of(make(tmp_path, name)) == [name]


STRANGE = [
    "\udce9.jpg",
    "a\nb.png",
    "x" * 251 + ".jpg",
    " .jpg",
    "\u00e9.jpg",
    "e\u0301.jpg",
    "-.gif",
]


def test_strange_names(tmp_path):
    make(tmp_path, *STRANGE)
    assert sorted(names_of(tmp_path)) == sorted(STRANGE)
    source = open_source(tmp_path)
    read = [source.read(index).data for index in range(len(source))]
    assert sorted(read) == sorted(name.encode("utf-8", "surrogateescape") for name in STRANGE)


LAYOUTS = [("image", "mask"), ("images", "masks"), ("HR", "LR"), ("img", "gt"), ("clean", "mask")]
LAYOUTS += [("image_hr", "image_lr"), ("JPEGImages", "SegmentationClass"), ("image", "clean")]


@pytest.mark.parametrize(("images", "layer"), LAYOUTS)
@pytest.mark.parametrize("above", ["", "train/"])
def test_masks_and_other_versions_are_not_words(tmp_path, images, layer, above, warnings):
    make(tmp_path, *(f"{above}{folder}/0/{n}.png" for folder in (images, layer) for n in (1, 2)))
    make(tmp_path, f"{above}notes/a.txt")
    assert names_of(tmp_path) == [f"{above}{images}/0/{n}.png" for n in (1, 2)]
    assert "1 folders of masks or other versions" in warnings[0]


@pytest.mark.parametrize("beside", ["hello/1.png", "1.png", "hr/1.png", "hello/deep/1.jpg"])
def test_a_layout_with_other_images_beside_it_is_refused(tmp_path, beside):
    make(tmp_path, "image/1.png", "mask/1.png", beside)
    with pytest.raises(ValueError, match=r"holds .* give '(image|hr)' alone"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["hello/1.png", "mask/1.png"],
        ["1.png", "mask/2.png"],
        ["image/1.png", "hello/1.png"],
        ["image/1.png", "labels/1.txt", "hello/1.png"],
        ["mask/1.png", "image/1.txt"],
        ["gas.png", "gas_mask.png", "a.png", "b.png", "c.png"],
        ["HR/1.png", "GT/2.png", "DE/3.png"],
        ["mask.png", "image.png", "word.png"],
    ],
)
def test_ordinary_folders_are_read_completely(tmp_path, names, warnings):
    make(tmp_path, *names)
    assert sorted(names_of(tmp_path)) == sorted(name for name in names if name.endswith(".png"))
    assert warnings == []


def test_masks_beside_their_images_are_not_words(tmp_path, warnings):
    make(tmp_path, "1.jpg", "1_mask.png", "2.jpg", "2_mask.png", "3.jpg")
    make(tmp_path, "a/image.jpg", "a/mask.png", "b/Image.jpg", "b/Mask.png", "b/clean.png")
    assert names_of(tmp_path) == ["1.jpg", "2.jpg", "3.jpg", "a/image.jpg", "b/Image.jpg"]
    assert "5 masks of images beside them" in warnings[0]


def test_outputs_of_segment_and_ground_truth_are_not_words(tmp_path):
    make(tmp_path, "s/1_mask.png", "s/1_cutout.png", "s/1_overlay.png", "t/1.tif", "t/1_GT.tif")
    make(tmp_path, "u/w_mask.png", "u/w_gt.png")
    expected = ["s/1_cutout.png", "t/1.tif", "u/w_gt.png", "u/w_mask.png"]
    assert names_of(tmp_path) == expected


def test_other_annotation_files_and_lmdbs_are_named(tmp_path, warnings):
    make(tmp_path, "1.jpg", "train.jsonl", "w.lmdb/data.mdb", "w.lmdb/lock.mdb")
    assert names_of(tmp_path) == ["1.jpg"]
    assert "2 .mdb files (such as 'w.lmdb/data.mdb')" in warnings[0]
    assert "1 .jsonl files (such as 'train.jsonl')" in warnings[0]


def test_folder_with_labels_holds_the_listed_words(tmp_path, monkeypatch):
    messages: list[str] = []
    monkeypatch.setattr("mms_ocr.datasets.sources.opening.warn", messages.append)
    images = [encode(word_pixels(number)) for number in range(2)]
    write_jsonl(tmp_path / "words" / "labels.jsonl", images, ["one", "two"])
    make(tmp_path / "words", "mask/1.png", "mask/2.png")
    source = open_source(tmp_path / "words", data_root=str(tmp_path))
    assert isinstance(source, JsonlSource)
    assert [source.read(index, labelled=True).text for index in range(2)] == ["one", "two"]
    assert "reading the 2 words" in messages[0]
    with pytest.raises(ValueError, match=r"labelled data sets .*words/labels\.jsonl"):
        open_source(tmp_path)


def test_textseg_is_refused_with_what_reads_it(tmp_path):
    make(tmp_path, "split.json", "image/1.jpg", "semantic_label/1_maskfg.png")
    with pytest.raises(ValueError, match=r"mms_ocr\.TextSegDataset"):
        open_source(tmp_path)


def test_warnings_go_to_standard_error_or_the_log_of_a_run_once(
    tmp_path, capsys, caplog, monkeypatch
):
    monkeypatch.setattr(MMLogger, "_instance_dict", {})
    MMLogger.get_instance("made by some library")
    errors.warn.cache_clear()
    errors.warn("left out 3")
    errors.warn("left out 3")
    assert [record.getMessage() for record in caplog.records] == ["warning: left out 3"]
    assert capsys.readouterr().out == ""
    MMLogger.get_instance("run", log_file=str(tmp_path / "run.log"))
    errors.warn("left out 4")
    assert "left out 4" in (tmp_path / "run.log").read_text()


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_trees_at_random():
    endings, faults = fuzz_folders.run(150)
    assert faults == []
    assert endings["exact"] > 30
    assert endings["refused"] > 30


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_fuzzer_detects_lost_images(monkeypatch):
    monkeypatch.setattr("mms_ocr.utils.walking._is_folder", lambda entry: False)
    assert fuzz_folders.run(60)[1]
