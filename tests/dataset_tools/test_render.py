"""Rendered words in data sets: their contents, and what a stopped or failed run leaves."""

import json
import os
import subprocess
import sys
import textwrap

import cv2
import lmdb
import numpy as np
import pytest

from mms_ocr.dataset_tools import writer
from mms_ocr.dataset_tools.layouts import open_writer
from mms_ocr.dataset_tools.render import count_finished, encode_word, render_plan, render_words
from mms_ocr.datasets import WordImageDataset
from mms_ocr.rendering import (
    FontCollection,
    RenderedWord,
    RenderSettings,
    TextSource,
    WordRenderer,
)
from mms_ocr.utils.progress import silent

KINDS = ["words.lmdb", "folder"]
COUNT = 150  # more than two chunks


@pytest.fixture(scope="module")
def renderer() -> WordRenderer:
    return WordRenderer(FontCollection(), TextSource(), RenderSettings.at(0.5), seed=3)


class StopError(Exception):
    pass


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(writer, "_CHUNK_WORDS", 64)


def _stop_at(limit: int):
    def progress(indices, title, total):
        for index in indices:
            if index == limit:
                raise StopError
            yield index

    return progress


def _make(renderer, path, count=COUNT, progress=silent, workers=1, **encoding):
    return render_words(renderer, path, count, workers, progress, **encoding)


def _content(path) -> dict:
    """Keys and values of an LMDB, or names and bytes of a folder's files, without the recipe."""
    if path.suffix == ".lmdb":
        environment = lmdb.open(str(path), readonly=True, lock=False)
        with environment, environment.begin() as transaction:
            return dict(transaction.cursor())
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "render.json")
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", KINDS)
def test_read_back(tmp_path, renderer, kind):
    path = tmp_path / kind
    _make(renderer, path, 70, suffix=".png")
    where = path if kind.endswith("lmdb") else path / "labels.jsonl"
    dataset = WordImageDataset(str(where), labelled=True)
    assert len(dataset) == 70
    for index in (0, 1, 33, 69):
        word = renderer.render(index)
        np.testing.assert_array_equal(dataset[index]["img"], word.image)
        assert dataset[index]["text"] == word.text
    assert [file.name for file in tmp_path.iterdir()] == [kind]
    assert not list(path.glob("*lock*"))


def test_keys_of_the_lmdb(tmp_path, renderer):
    _make(renderer, tmp_path / "a.lmdb", 2, extras=["mask", "clean", "char_boxes"])
    content = _content(tmp_path / "a.lmdb")
    names = ["boxes", "clean", "image", "label", "mask"]
    assert sorted(content) == [
        *(f"{name}-{n:09d}".encode() for name in names for n in (1, 2)), b"num-samples"
    ]  # fmt: skip
    assert content[b"num-samples"] == b"2"
    word = renderer.render(1)
    mask = cv2.imdecode(np.frombuffer(content[b"mask-000000002"], np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, word.mask * 255)
    boxes = json.loads(content[b"boxes-000000002"])
    np.testing.assert_allclose(boxes, word.char_boxes, atol=0.006)
    assert content[b"clean-000000002"] == encode_word(word, ["clean"]).images["clean"]


def test_lines_of_the_folder(tmp_path, renderer):
    _make(renderer, tmp_path / "a", 2, extras=["mask", "char_boxes"])
    lines = (tmp_path / "a" / "labels.jsonl").read_text().splitlines()
    record = json.loads(lines[1])
    assert record["filename"] == "image/000000/000000002.jpg"
    assert record["mask"] == "mask/000000/000000002.png"
    assert record["text"] == renderer.render(1).text
    assert len(record["char_boxes"]) == len(record["text"])
    assert (tmp_path / "a" / record["mask"]).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_resumes_with_the_same_result(tmp_path, renderer, kind):
    whole, stopped = tmp_path / kind, tmp_path / f"stopped-{kind}"
    _make(renderer, whole)
    for limit in (64, 128):
        with pytest.raises(StopError):
            _make(renderer, stopped, progress=_stop_at(limit))
        assert not stopped.exists()
        assert stopped.with_name(stopped.name + ".part").is_dir()
    assert _make(renderer, stopped) == 150 - 128
    assert _content(stopped) == _content(whole)
    assert not stopped.with_name(stopped.name + ".part").exists()


@pytest.mark.slow
def test_several_processes_give_the_same_as_one(tmp_path, renderer):
    _make(renderer, tmp_path / "one.lmdb")
    _make(renderer, tmp_path / "two.lmdb", workers=2)
    assert _content(tmp_path / "one.lmdb") == _content(tmp_path / "two.lmdb")


def test_labels_that_are_cut_short_are_written_again(tmp_path, renderer):
    with pytest.raises(StopError):
        _make(renderer, tmp_path / "a", progress=_stop_at(64))
    labels = tmp_path / "a.part" / "set" / "labels.jsonl"
    labels.write_bytes(labels.read_bytes()[:-9])
    assert _make(renderer, tmp_path / "a") == 150
    _make(renderer, tmp_path / "b")
    assert _content(tmp_path / "a") == _content(tmp_path / "b")


def test_resuming_with_more_words_but_not_with_fewer(tmp_path, renderer):
    with pytest.raises(StopError):
        _make(renderer, tmp_path / "a.lmdb", 100, progress=_stop_at(64))
    with pytest.raises(ValueError, match=r"a\.lmdb\.part holds 64 words already; ask for at least"):
        _make(renderer, tmp_path / "a.lmdb", 10)
    _make(renderer, tmp_path / "a.lmdb", 150)
    assert _content(tmp_path / "a.lmdb")[b"num-samples"] == b"150"


def test_other_settings_do_not_resume(tmp_path, renderer):
    with pytest.raises(StopError):
        _make(renderer, tmp_path / "a.lmdb", progress=_stop_at(64))
    others = {
        "seed": WordRenderer(renderer.fonts, renderer.source, renderer.settings, seed=4),
        "settings": WordRenderer(renderer.fonts, renderer.source, RenderSettings.at(0.6), seed=3),
        "words": WordRenderer(renderer.fonts, TextSource(["a"]), renderer.settings, seed=3),
        "fonts": WordRenderer(FontCollection(part="val"), renderer.source, renderer.settings, 3),
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match=rf"a\.lmdb\.part was begun with other.*\({name}: "):
            _make(other, tmp_path / "a.lmdb")
    with pytest.raises(ValueError, match=r"other options \(encoding: "):
        _make(renderer, tmp_path / "a.lmdb", quality=50)


def test_existing_files_are_kept(tmp_path, renderer):
    (tmp_path / "file.lmdb").write_text("mine")
    (tmp_path / "folder").mkdir()
    for name in ("file.lmdb", "folder"):
        with pytest.raises(FileExistsError, match=f"{name} exists"):
            count_finished(tmp_path / name, {})
    assert count_finished(tmp_path / "new", {}) is None
    assert _make(renderer, tmp_path / "a", 3) == 3
    assert count_finished(tmp_path / "a", render_plan(renderer, encoding={})) == 3
    with pytest.raises(ValueError, match=r"a was begun with other options \(encoding: "):
        count_finished(tmp_path / "a", render_plan(renderer, encoding={"quality": 9}))


def test_two_processes_cannot_write_one_set(tmp_path, renderer):
    with open_writer(tmp_path / "a", {}), pytest.raises(BlockingIOError):
        _make(renderer, tmp_path / "a")


def test_a_missing_folder_or_damaged_part(tmp_path, renderer):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        _make(renderer, tmp_path / "nowhere" / "a.lmdb")
    with pytest.raises(IsADirectoryError):
        open_writer(".", {})
    part = tmp_path / "a.lmdb.part"
    (part / "set").mkdir(parents=True)
    (part / "set" / "data.mdb").write_bytes(b"x" * 10_000)
    (part / "plan.json").write_text(json.dumps(render_plan(renderer, encoding={})))
    with pytest.raises(ValueError, match=r"a\.lmdb\.part cannot be resumed"):
        _make(renderer, tmp_path / "a.lmdb")
    (tmp_path / "b.part" / "set").mkdir(parents=True)
    (tmp_path / "b.part" / "plan.json").write_text("{")
    with pytest.raises(ValueError, match=r"plan\.json is damaged"):
        _make(renderer, tmp_path / "b")


@pytest.mark.parametrize("kind", KINDS)
def test_full_disk_leaves_no_set_that_looks_complete(tmp_path, renderer, kind):
    # A limit on the size of files fails a write in the middle, as a full disk does.
    program = f"""
        import resource, signal
        from mms_ocr.cli.main import main
        from mms_ocr.dataset_tools import writer
        writer._CHUNK_WORDS = 64
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
        raise SystemExit(main(["render", "--count", "200", "--workers", "1", "--seed", "3",
                               "--extras", "char_boxes", "--out", {str(tmp_path / kind)!r}]))
    """
    size = 600_000 if kind.endswith("lmdb") else 20_000
    run = _run(program.replace("LARGEST", str(size)))
    assert run.returncode == 2
    errors = [line for line in run.stderr.splitlines() if line.startswith("mms-ocr render:")]
    assert len(errors) == 1
    assert "Traceback" not in run.stderr
    assert f"{tmp_path / kind}.part: " in errors[0]
    assert "make room and repeat the command" in errors[0]
    assert not (tmp_path / kind).exists()
    extras = ["char_boxes"]
    encoding = dict(extras=extras, suffix=".jpg", quality=95)
    assert 0 < _make(renderer, tmp_path / kind, 200, **encoding) < 200
    _make(renderer, tmp_path / f"whole-{kind}", 200, **encoding)
    assert _content(tmp_path / kind) == _content(tmp_path / f"whole-{kind}")


def _run(program: str) -> subprocess.CompletedProcess:
    # Where coverage is measured, its own file would be cut as well.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, env=env
    )


class _Dying(WordRenderer):
    """Ends its process at the hundredth word."""

    def render(self, index: int) -> RenderedWord:
        if index == 100:
            os._exit(9)
        return super().render(index)


def test_dead_worker_raises(tmp_path, renderer):
    dying = _Dying(renderer.fonts, renderer.source, renderer.settings, renderer.seed)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        _make(dying, tmp_path / "a.lmdb", workers=2)
    assert not (tmp_path / "a.lmdb").exists()
