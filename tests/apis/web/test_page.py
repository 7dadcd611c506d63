"""The page's events and options, without a browser."""

import base64
import socket
import sys
import types

import numpy as np
import pytest
from made_images import encode, word_pixels

from mms_ocr.apis.web.serving import choose_port
from mms_ocr.cli.main import main

SETTINGS = ("random patches", 60, 0)


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio", reason="the page needs Gradio")
    pytest.importorskip("mmocr", reason="the page needs MMOCR")
    from mms_ocr.apis.web import page

    return page


@pytest.fixture(scope="module")
def actions(page, page_models):
    from mms_ocr.apis.web.inputs import example_photograph, render_examples

    words = render_examples()
    return page.PageActions(page_models, words, example_photograph(words))


def event(**data):
    return types.SimpleNamespace(_data=data)


def sent(*images):
    files = [(f"{i}.png", encode(image)) for i, image in enumerate(images)]
    return event(
        files=[
            dict(name=name, size=len(data), data=base64.b64encode(data).decode())
            for name, data in files
        ]
    )


def test_files_replace_the_words(actions):
    results = actions.take_words(sent(word_pixels(0), word_pixels(1)), [], None, [], *SETTINGS)
    messages, words, photo, boxes, shown, *tabs = results
    assert (messages, photo, boxes, shown) == ("", None, [], "")
    assert [word.name for word in words] == ["0.png", "1.png"]
    assert np.array_equal(words[1].image, word_pixels(1))
    assert len(tabs) == 4
    assert all(tab.count("<article") == 2 for tab in tabs)


def test_files_without_an_image_leave_the_words(page, actions):
    broken = event(files=[dict(name="a.txt", size=3, data=base64.b64encode(b"abc").decode())])
    for action in (actions.take_words, actions.take_photograph):
        messages, *others = action(broken, ["word"], None, [], *SETTINGS)
        assert "a.txt" in messages
        assert others == [page.gr.skip()] * 8
    assert "no file" in actions.take_words(event(), [], None, [], *SETTINGS)[0]


def test_boxes_of_a_photograph_become_words(actions):
    _, words, photo, boxes, shown, *_ = actions.take_sheet([], None, [], *SETTINGS)
    assert (words, boxes) == ([], [])
    assert 'class="photo"' in shown
    drawn = event(box=[0, 0, 50, 33])
    _, words, _, boxes, shown, *tabs = actions.take_box(drawn, words, photo, boxes, *SETTINGS)
    _, words, _, boxes, shown, *tabs = actions.take_box(
        event(), words, photo, boxes, *SETTINGS, 50, 0, 50, 33
    )
    assert boxes == [[0, 0, 50, 33], [50, 0, 50, 33]]
    assert [word.name for word in words] == ["box 1", "box 2"]
    height, width = photo.image.shape[:2]
    assert np.array_equal(words[1].image, photo.image[: round(0.33 * height), round(width / 2) :])
    assert shown.count('class="box"') == 2
    assert "Harbor" in tabs[0]
    assert "percent" in actions.take_box(event(), [], photo, [], *SETTINGS, 0, 0, 0, 0)[0]
    assert "no photograph" in actions.take_box(drawn, [], None, [], *SETTINGS)[0]
    assert "24 boxes" in actions.take_box(drawn, [], photo, [[0] * 4] * 24, *SETTINGS)[0]
    assert actions.clear(words, photo, boxes, *SETTINGS)[1:5] == ([], None, [], "")


def test_the_page_asks_nothing_of_other_machines(page, page_models):
    built = page.build_page(page_models)
    names = {block.get_block_name() for block in built.blocks.values()}
    assert not names & {"file", "image", "gallery", "uploadbutton"}, "these store uploads in files"
    visible = [fn.api_visibility for fn in built.fns.values()]
    assert set(visible) == {"private"}
    for file in page.FOLDER.iterdir():
        if file.suffix in (".js", ".css"):
            assert "http" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--port", "70000"], "70000"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
    ],
)
def test_wrong_ports_and_hosts_are_one_line(options, named, capsys):
    assert main(["web", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_a_port_in_use_is_one_line(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["web", "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(port) in line
    assert "--port" in line
    assert choose_port("127.0.0.1", port) == port
    assert choose_port("127.0.0.1", 0) > 0


def test_without_gradio_the_extra_is_named(capsys, monkeypatch):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "NO_PROXY"):
        monkeypatch.setenv(name, "as before")
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["web", "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'mms_ocr[web]'" in line
