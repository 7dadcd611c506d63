"""Labels of annotation files: parsed, checked, written as JSON lines."""

import json
import os
import string
from pathlib import Path

import pytest
from made_images import encode, word_pixels

from mms_ocr.cli.main import main
from mms_ocr.dataset_tools.annotations import Annotation, find_data_root, read_annotations
from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.dataset_tools.labels import LabelReport, convert_labels, describe_report
from mms_ocr.dataset_tools.records import open_records
from mms_ocr.datasets import WordImageDataset
from mms_ocr.datasets.sources import JsonlSource

ASCII = frozenset(string.ascii_letters)


def mmocr_json(path: Path, words: list[tuple[str, str]], **extra) -> str:
    entries = [dict(img_path=name, instances=[dict(text=text)]) for name, text in words]
    path.parent.mkdir(parents=True, exist_ok=True)
    head = dict(metainfo=dict(task_name="textrecog", odd='"data_list": [1, {"a'), version=12.5)
    path.write_text(json.dumps({**head, "data_list": entries, **extra}, ensure_ascii=False))
    return str(path)


@pytest.fixture
def root(tmp_path):
    for number in range(6):
        file = tmp_path / "images" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encode(word_pixels(number)))
    return tmp_path


WORDS = [(f"images/{number}.png", text) for number, text in enumerate(["a b", "é", 'q"', "x"])]


def pairs(path):
    return [(entry.filename, entry.text) for entry in read_annotations(str(path))]


@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_mmocr(tmp_path, indent):
    path = tmp_path / "a.json"
    mmocr_json(path, WORDS)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=indent))
    assert pairs(path) == WORDS
    places = [entry.place for entry in read_annotations(str(path))]
    assert places[2] == f"{path}, entry 3"


def test_json_lines(tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text(
        "\n".join(json.dumps(dict(filename=name, text=text)) for name, text in WORDS) + "\n\n"
    )
    assert pairs(path) == WORDS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a.png\tx y\nb c.png\tz\n", [("a.png", "x y"), ("b c.png", "z")]),
        ("a.png x y\n\r\nb.png z", [("a.png", "x y"), ("b.png", "z")]),
        ('a.png, "x, \\"y\\""\nb.png, "z"\n', [("a.png", 'x, "y"'), ("b.png", "z")]),
        ("\ufeffa.png x\n", [("a.png", "x")]),
    ],
)
def test_text_files(tmp_path, content, expected):
    path = tmp_path / "gt.txt"
    path.write_text(content, encoding="utf-8")
    assert pairs(path) == expected


LINE_ENDS = [
    ("a.png", "x\u2028y"),
    ("b.png", "\x85"),
    ("c.png", "1\x0b2\x0c3\x1c4"),
    ("d.png", "z"),
]


def test_only_line_feeds_end_lines(tmp_path):
    """Other characters that str.splitlines treats as line ends do not end a line."""
    lines = [json.dumps(dict(filename=n, text=t), ensure_ascii=False) for n, t in LINE_ENDS]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert pairs(tmp_path / "a.jsonl") == LINE_ENDS
    inside = [("e.png", "x"), *LINE_ENDS[:1], *LINE_ENDS[2:]]
    (tmp_path / "a.txt").write_text("\n".join(map("\t".join, inside)), encoding="utf-8")
    assert pairs(tmp_path / "a.txt") == inside


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
def test_text_outside_unicode_is_left_out_and_reported(root, name):
    words = [*WORDS, ("images/4.png", "half \ud800"), ("images/\0.png", "x")]
    faults = [
        "not Unicode text: 'images/4.png', 'half \\ud800'",
        "not Unicode text: 'images/\\x00.png', 'x'",
    ]
    if name == "a.json":
        data = [dict(img_path=path, instances=[dict(text=text)]) for path, text in words]
        content = json.dumps(dict(data_list=data))
    elif name == "a.jsonl":
        content = "\n".join(json.dumps(dict(filename=path, text=text)) for path, text in words)
    else:  # which cannot hold half of a character
        content = "\n".join("\t".join(word) for word in words if word[1] != "half \ud800")
        del faults[0]
    (root / name).write_text(content)
    report = convert_labels([str(root / name)], str(root / "b.jsonl"), max_broken=0.5)
    assert report.written == 4
    assert [line.partition(": ")[2] for line in report.left_out] == faults


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no lines"),
        ('{"images": []}', "'filename'"),
        ('{"data_list": [{"img_path": "a"}, ', "is truncated"),
        ('{"data_list": [{"img_path": a}]}', "is not JSON"),
        ("[1, 2]", "no object with a list 'data_list'"),
        (b"\xff\xfe\x00", "no UTF-8"),
        (b"1.jpg a\n2.jpg caf\xe9\n", "line 2: no UTF-8"),
    ],
)
def test_files_that_are_not_annotations(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        faults = [entry.fault for entry in read_annotations(str(path))]
    except ValueError as error:
        faults = [str(error)]
    assert message in faults[0]


def test_faults_of_single_entries_are_reported_by_place(tmp_path):
    path = tmp_path / "a.json"
    good = dict(img_path="1.png", instances=[dict(text="x")])
    odd = [
        dict(img_path="2.png", instances=[]),
        dict(img_path="3.png"),
        dict(instances=[dict(text="x")]),
        dict(img_path="4.png", instances=[dict(text=3)]),
        7,
    ]
    path.write_text(json.dumps(dict(data_list=[good, *odd])))
    entries = list(read_annotations(str(path)))
    assert entries[0] == Annotation(f"{path}, entry 1", "1.png", "x")
    faults = [entry.fault for entry in entries[1:]]
    assert faults[0] == "0 instances, and a word image has one"
    assert faults[1].startswith("no instances")
    assert "'img_path'" in faults[2]
    assert faults[3].startswith("'text' is not a string")
    assert faults[4].startswith("no instances")
    text = tmp_path / "gt.txt"
    text.write_text("a.png x\nonly\n")
    assert [entry.place for entry in read_annotations(str(text)) if entry.fault] == [
        f"{text}, line 2"
    ]


def test_json_lines_that_data_sets_and_lmdb_read(root):
    first = mmocr_json(root / "annos" / "one.json", WORDS[:2])
    second = root / "gt.txt"
    second.write_text("images\\2.png q\nimages/3.png x\n")
    out = root / "train.jsonl"
    report = convert_labels([first, str(second)], str(out), characters=ASCII)
    assert (report.written, report.left_out, report.longest) == (4, [], "a b")
    dataset = WordImageDataset(out, labelled=True)
    assert [dataset[index]["text"] for index in range(4)] == ["a b", "é", "q", "x"]
    for index in range(4):
        assert (dataset[index]["img"] == word_pixels(index)).all()
    convert_records(open_records(str(out), "words"), str(root / "train.lmdb"))
    copy = WordImageDataset(root / "train.lmdb", labelled=True)
    assert [copy[index]["text"] for index in range(4)] == ["a b", "é", "q", "x"]
    assert sorted(path.name for path in root.iterdir()) == [
        "annos", "gt.txt", "images", "train.jsonl", "train.lmdb"
    ]  # fmt: skip


def test_characters_outside_the_dictionary_are_counted_and_kept(root):
    source = mmocr_json(root / "a.json", [*WORDS, ("images/4.png", "éé")])
    report = convert_labels([source], str(root / "b.jsonl"), characters=ASCII)
    assert report.written == 5
    assert report.words_outside == 4
    assert report.outside == {"é": 3, " ": 1, '"': 1}
    assert report.examples == {"é": "é", " ": "a b", '"': 'q"'}
    lines = list(describe_report(report, "d.txt"))
    assert lines[1] == "4 words have characters outside d.txt (kept), 3 different ones:"
    assert lines[2] == "  'é' U+00E9  3 times, as in 'é'"
    dropped = convert_labels([source], str(root / "c.jsonl"), characters=ASCII, drop_outside=True)
    assert (dropped.written, dropped.dropped, dropped.left_out) == (1, 4, [])
    assert len(JsonlSource(str(root / "c.jsonl"))) == 1
    assert list(describe_report(LabelReport(written=1, longest="x"), "d.txt"))[1] == (
        "all characters are in d.txt"
    )


def test_unusable_words_are_left_out_and_reported(root):
    (root / "images" / "1.png").write_bytes(b"no image")
    words = [*WORDS, ("images/9.png", "gone"), ("images/4.png", "")]
    source = mmocr_json(root / "a.json", words)
    report = convert_labels([source], str(root / "b.jsonl"), max_broken=0.5)
    assert report.written == 3
    assert [line.partition(": ")[2] for line in report.left_out] == [
        f"{root}/images/1.png: not an image of a known format",
        f"{root}/images/9.png: No such file or directory",
        "the label is empty",
    ]
    unseen = convert_labels([source], str(root / "c.jsonl"), check_images=False, max_broken=0.5)
    assert unseen.written == 4
    with pytest.raises(ValueError, match=r"3 of 6 words cannot be used, more than .* 0\.01"):
        convert_labels([source], str(root / "d.jsonl"))
    assert not list(root.glob("d.jsonl*"))


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "images/../../x.png"])
def test_names_outside_the_data_root_raise(root, name):
    (root / "in").mkdir()
    source = mmocr_json(root / "a.json", [*WORDS, (name, "x")])
    with pytest.raises(ValueError, match=r"entry 5: file name .* leads out of"):
        convert_labels([source], str(root / "b.jsonl"), [str(root)])
    with pytest.raises(ValueError, match=r"not in the folder of .*b\.jsonl"):
        convert_labels([source], str(root / "in" / "b.jsonl"), [str(root)])


class StopError(Exception):
    pass


def test_a_stopped_conversion_leaves_nothing(root):
    def stop(indices, title, total):
        yield 0
        raise StopError

    source = mmocr_json(root / "a.json", WORDS)
    before = sorted(root.iterdir())
    with pytest.raises(StopError):
        convert_labels([source], str(root / "out.jsonl"), progress=stop)
    assert sorted(root.iterdir()) == before


def test_data_root_is_found_or_must_be_given(root):
    deep = mmocr_json(root / "annos" / "mmocr1.0" / "a.json", WORDS)
    assert find_data_root(deep) == str(root)
    here = root / "images" / "gt.txt"
    here.write_text("0.png a\n")
    assert find_data_root(str(here)) == str(root / "images")
    lost = mmocr_json(root / "b.json", [("nowhere/1.png", "a")])
    with pytest.raises(FileNotFoundError, match="give --data-root"):
        find_data_root(lost)


def gt_and_images(root, annotation, *folders, count=2):
    """A text file that names images, and images of these names in each of the folders."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in range(count):
            (root / folder / f"word_{name}.png").write_bytes(encode(word_pixels(10 * number)))
    path = root / annotation
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"word_{name}.png\ta\n" for name in range(count)))
    return str(path)


@pytest.mark.parametrize(
    ("annotation", "folder"),
    [
        ("data/test/gt.txt", "data/test/images"),
        ("data/test/gt.txt", "data"),
        ("data/annotations/gt.txt", "data/words"),
        ("data/gt.txt", "data"),
    ],
)
def test_the_only_folder_with_such_images_is_the_data_root(tmp_path, annotation, folder):
    assert find_data_root(gt_and_images(tmp_path, annotation, folder)) == str(tmp_path / folder)


@pytest.mark.parametrize(
    ("annotation", "folders"),
    [
        ("data/test/gt.txt", ("data", "data/test/images")),
        ("data/test/gt.txt", ("data", "data/test")),
        ("data/gt.txt", ("data", "data/images")),
        ("data/gt.txt", ("data/train", "data/test")),
        ("a/data/annotations/gt.txt", ("a/data/train", "a/data/test")),
        ("a/b/gt.txt", ("a", ".")),
    ],
)
def test_images_of_the_same_names_in_two_folders_are_refused(tmp_path, annotation, folders):
    source = gt_and_images(tmp_path, annotation, *folders)
    with pytest.raises(ValueError, match="--data-root") as caught:
        find_data_root(source)
    assert all(f"in {tmp_path / folder}" in str(caught.value) for folder in map(Path, folders))
    out = tmp_path / "out.jsonl"
    chosen = str(tmp_path / folders[1])
    assert convert_labels([source], str(out), [chosen]).written == 2
    assert JsonlSource(str(out)).name(0) == os.path.join(chosen, "word_0.png")


def test_images_that_are_split_between_two_folders_are_refused(tmp_path):
    """The position of the second folder's entries does not matter."""
    source = gt_and_images(tmp_path, "data/gt.txt", "data", count=200)
    (tmp_path / "data" / "more").mkdir()
    for name in range(150, 200):
        image = f"word_{name}.png"
        (tmp_path / "data" / image).rename(tmp_path / "data" / "more" / image)
    with pytest.raises(ValueError, match="data/more"):
        find_data_root(source)


def test_link_to_the_images_is_no_second_data_root(tmp_path):
    source = gt_and_images(tmp_path, "data/test/gt.txt", "data/test", "data/train")
    (tmp_path / "data" / "test" / "images").symlink_to(".")
    assert find_data_root(source) == str(tmp_path / "data" / "test")


def test_places_that_cannot_be_written(root):
    source = mmocr_json(root / "a.json", WORDS)
    (root / "there.jsonl").write_text("{}")
    for out, error, message in (
        ("b.txt", ValueError, r"end in \.jsonl"),
        ("there.jsonl", FileExistsError, "exists; remove it"),
        ("none/b.jsonl", FileNotFoundError, "no such folder"),
    ):
        with pytest.raises(error, match=message):
            convert_labels([source], str(root / out))
    with pytest.raises(FileNotFoundError, match="no annotation file"):
        convert_labels([str(root / "none.json")], str(root / "b.jsonl"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"image": "1.png", "label": "a"}\n', "line 1: .*'filename'"),
        ("filename,text\n1.png,a\n", "line 1: no file name and label"),
        ('{"data_list": []}', "has no words"),
    ],
)
def test_invalid_first_entries_raise_before_the_search(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        find_data_root(str(path))


def test_images_with_two_labels_are_reported(root, capsys):
    source = root / "labels.txt"
    names = ["images/0.png", "images/1.png", "images/0.png", "images/1.png", "images\\0.png"]
    source.write_text("".join(f"{name}\t{text}\n" for name, text in zip(names, "abxbx")))
    for arguments in ([], ["--out", str(root / "words.jsonl")]):
        assert main(["labels", str(source), *arguments]) == 0
        place = root / "images" / "0.png"
        line = f"images with several labels that differ: 1, such as {place}: 'a', 'x'"
        assert line in capsys.readouterr().out.splitlines()
    assert len(WordImageDataset(root / "words.jsonl")) == 5


def test_odd_files_beside_annotations_do_no_harm(root):
    (root / "self").symlink_to("self")
    os.mkfifo(root / "images" / "pipe.png")
    (root / "labels.txt").write_text("0.png\ta\n1.png\tb\npipe.png\tc\n")
    report = convert_labels([str(root / "labels.txt")], str(root / "w.jsonl"), max_broken=0.5)
    assert report.written == 2
    assert report.left_out[0].endswith("pipe.png: a folder, a pipe or a device")


@pytest.mark.parametrize("share", [float("nan"), -0.1, 1.5])
def test_share_of_broken_words_out_of_range_raises(root, share):
    (root / "labels.txt").write_text("images/0.png\ta\n")
    with pytest.raises(ValueError, match=r"give one in \[0, 1\]"):
        convert_labels([str(root / "labels.txt")], str(root / "w.jsonl"), max_broken=share)
    with pytest.raises(ValueError, match=r"give one in \[0, 1\]"):
        convert_records(open_records(str(root / "images")), str(root / "w"), share)
