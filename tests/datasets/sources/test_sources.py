from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
from concurrent.futures import ProcessPoolExecutor

import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.datasets.sources import (
    BrokenImageError,
    FolderSource,
    JsonlSource,
    LmdbSource,
    open_source,
)

KINDS = ["folder", "lmdb", "jsonl"]
IMAGES = [encode(word_pixels(number)) for number in range(7)]
LABELS = [f"wört {number}" for number in range(7)]


def read_all(source) -> list[bytes]:
    return [source.read(index).data for index in range(len(source))]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_back_what_was_written(make_source, kind):
    path = make_source(kind, IMAGES)
    source = open_source(path)
    assert type(source) is dict(folder=FolderSource, lmdb=LmdbSource, jsonl=JsonlSource)[kind]
    assert len(source) == 7
    # The folder's order is that of its sorted paths: part0/000, part0/003, part0/006, part1/001, …
    order = [0, 3, 6, 1, 4, 2, 5] if kind == "folder" else range(7)
    assert [source.read(index).data for index in range(7)] == [IMAGES[i] for i in order]
    assert source.read(2).name == source.name(2)
    assert source.read(2).name.startswith(str(path if kind != "jsonl" else path.parent))
    assert source.read(2).text is None


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_labels_are_read_if_labelled(make_source, kind):
    source = open_source(make_source(kind, IMAGES, LABELS))
    source.check_labels()
    assert [source.read(index, labelled=True).text for index in range(7)] == LABELS
    assert source.read(0).text is None


@pytest.mark.parametrize("kind", KINDS)
def test_missing_labels_raise(make_source, kind):
    source = open_source(make_source(kind, IMAGES))
    with pytest.raises(ValueError, match="labelled=False"):
        source.check_labels()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_used_sources_work_in_another_process(make_source, method):
    sources = [open_source(make_source(kind, IMAGES, name=kind)) for kind in KINDS]
    here = [read_all(source) for source in sources]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert list(pool.map(read_all, sources)) == here
    assert [read_all(source) for source in sources] == here


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_serves_several_sources_of_a_process(make_source, kind):
    path = make_source(kind, IMAGES)
    first, second = open_source(path), open_source(os.path.join(path.parent, ".", path.name))
    copy = pickle.loads(pickle.dumps(first))
    for index in range(7):
        assert first.read(index).data == second.read(index).data == copy.read(index).data


def test_an_lmdb_can_be_one_file(tmp_path, make_source):
    folder = make_source("lmdb", IMAGES)
    file = tmp_path / "single"
    os.rename(folder / "data.mdb", file)
    assert read_all(open_source(file)) == IMAGES


def test_an_lmdb_with_other_keys(tmp_path):
    entries = {"image_hr-000000001": IMAGES[0], "num-samples": b"1"}
    source = LmdbSource(str(write_lmdb(tmp_path / "z.lmdb", entries)), image_key="image_hr-%09d")
    assert source.read(0).data == IMAGES[0]


def test_blank_lines_of_any_length_are_skipped(tmp_path):
    blank = [b"", b" ", b" " * 15, b" " * 16, b"\t" * 40, b"\r"]
    lines, names = [], []
    for number in range(70):
        indent = b" " * 20 if number % 5 == 0 else b""
        names.append(f"{number}.png")
        lines.append(indent + json.dumps({"filename": names[-1]}).encode())
        lines += blank[number % 7 : number % 7 + 1]
    path = tmp_path / "words.jsonl"
    path.write_bytes(b"\n".join(lines))
    source = JsonlSource(str(path))
    assert [os.path.basename(source.name(index)) for index in range(len(source))] == names


def test_replaced_lmdb_is_read_again(make_source, tmp_path):
    path = make_source("lmdb", IMAGES[:2])
    source = open_source(path)
    assert len(source) == 2
    del source
    (path / "data.mdb").unlink()
    write_lmdb(path, lmdb_entries(IMAGES[2:]))
    assert read_all(open_source(path)) == IMAGES[2:]


# --- bad input -----------------------------------------------------------------------------------


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_missing_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no data at .*nowhere") as error:
        open_source(tmp_path / "nowhere")
    one_line(error)


def test_empty_folder(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match="no image files") as error:
        open_source(tmp_path)
    assert str(tmp_path) in one_line(error)


def test_lmdb_folder_without_data(tmp_path):
    (tmp_path / "words.lmdb").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no file .*data\.mdb"):
        open_source(tmp_path / "words.lmdb")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"image-000000001": b"x"}, "no key 'num-samples'"),
        ({"image-000000001": b"x", "num-samples": b"many"}, "not a positive number"),
        ({"image-000000001": b"x", "num-samples": b"0"}, "not a positive number"),
        ({"image-000000001": b"x", "num-samples": b"2"}, "no key 'image-000000002'"),
    ],
)
def test_lmdb_with_wrong_keys(tmp_path, entries, message):
    path = write_lmdb(tmp_path / "words.lmdb", entries)
    with pytest.raises(ValueError, match=message) as error:
        open_source(path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize("kept", [0, 10, 5000, 0.5, 0.99])
def test_truncated_lmdb(tmp_path, kept):
    path = write_lmdb(tmp_path / "words.lmdb", lmdb_entries(IMAGES * 20))
    data = (path / "data.mdb").read_bytes()
    kept = int(kept * len(data)) if isinstance(kept, float) else kept
    (path / "data.mdb").write_bytes(data[:kept])
    with pytest.raises(ValueError, match=r"truncated|cannot open") as error:
        open_source(path)
    assert str(path) in one_line(error)


def test_lmdb_of_random_bytes(tmp_path):
    path = tmp_path / "words.lmdb"
    path.write_bytes(random.Random(0).randbytes(1 << 16))
    with pytest.raises(ValueError, match=r"cannot open .* as an LMDB") as error:
        open_source(path)
    one_line(error)


@pytest.mark.parametrize("missing", ["image-000000003", "label-000000003"])
def test_missing_keys_are_broken_images(tmp_path, missing):
    entries = lmdb_entries(IMAGES, LABELS)
    del entries[missing]
    source = open_source(write_lmdb(tmp_path / "words.lmdb", entries))
    with pytest.raises(BrokenImageError, match=missing):
        source.read(2, labelled=True)
    assert source.read(3, labelled=True).text == LABELS[3]


@pytest.mark.parametrize("kind", ["folder", "jsonl"])
def test_empty_image_files_are_broken(make_source, kind):
    source = open_source(make_source(kind, [*IMAGES, b""]))
    broken = [i for i in range(8) if source.name(i).endswith(("7.png", "007.png"))]
    with pytest.raises(BrokenImageError, match="the file is empty"):
        source.read(broken[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "not JSON: 'not json'"),
        ("[1, 2]", "not a JSON object with a 'filename'"),
        ('{"text": "You"}', "not a JSON object with a 'filename'"),
        ('{"filename": ""}', "not a JSON object with a 'filename'"),
        ('{"filename": "a.png", "text": 5}', "'text' is not a string"),
    ],
)
def test_malformed_lines_are_named(tmp_path, line, message):
    path = tmp_path / "words.jsonl"
    path.write_text('{"filename": "a.png"}\n\n' + line + "\n")
    with pytest.raises(ValueError, match=message) as error:
        open_source(path)
    assert f"{path}, line 3" in one_line(error)


@pytest.mark.parametrize(
    "content", [b"\x08\n\x08\0model", '{"filename": "1.png"}\n'.encode("utf-16")]
)
def test_binary_files_are_no_data_set(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.onnx' is no text in UTF-8, .* give a folder"):
        open_source(path)


def test_a_single_image_is_no_data_set(tmp_path):
    path = tmp_path / "1.PNG"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"1\.PNG' is a single image: give the folder"):
        open_source(path)


def test_missing_labels_name_the_existing_keys(tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text('{"filename": "1.png", "label": "You"}\n')
    with pytest.raises(ValueError, match="filename, label"):
        open_source(path).check_labels()


@pytest.mark.parametrize(
    "content", ["crops/1.png You\n", '{"data_list": []}\n', '{"image": "1"}\n']
)
def test_a_file_of_another_kind_is_refused_with_advice(tmp_path, content):
    path = tmp_path / "words.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"line 1: not .* mms-ocr labels") as error:
        open_source(path)
    one_line(error)


def test_malformed_lines_late_in_a_file_are_broken_images(tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text('{"filename": "a.png"}\n' * 12_000 + "{\n" + '{"filename": "b.png"}')
    source = open_source(path)
    assert len(source) == 12_002
    with pytest.raises(BrokenImageError, match="line 12001: not JSON"):
        source.read(12_000)
    assert source.name(12_001) == str(tmp_path / "b.png")


def test_annotations_without_lines(tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text("\n \n")
    with pytest.raises(ValueError, match="has no lines"):
        open_source(path)


def test_data_root(tmp_path, make_source):
    path = make_source("jsonl", IMAGES)
    moved = path.rename(tmp_path / "elsewhere.jsonl")
    assert open_source(moved, str(path.parent)).read(4).data == IMAGES[4]
    with pytest.raises(FileNotFoundError, match=r"there is no data root"):
        open_source(moved, str(tmp_path / "nowhere"))


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_lines_are_found_with_blank_lines_between_them(tmp_path, end):
    rng = random.Random(len(end))
    names = [f"{'x' * rng.randrange(1, 30)}{number}.png" for number in range(100)]
    lines = []
    for name in names:
        lines += [rng.choice(["", " ", "\r", ""])] * rng.randrange(3)
        lines.append(json.dumps(dict(filename=name)))
    path = tmp_path / "words.jsonl"
    path.write_bytes(("\n".join(lines) + end).encode())
    source = JsonlSource(str(path))
    assert [os.path.basename(source.name(index)) for index in range(len(source))] == names


def test_file_names_of_json_lines_may_be_bytes_and_labels_may_not(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"data")
    lines = [dict(filename=name, text="é"), dict(filename=name, text="caf\udce9")]
    path = tmp_path / "words.jsonl"
    path.write_text(json.dumps(lines[0]) + "\n")
    raw = JsonlSource(str(path)).read(0, labelled=True)
    assert (raw.data, raw.name, raw.text) == (b"data", str(tmp_path / name), "é")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match="line 2: not Unicode text"):
        JsonlSource(str(path))
