"""The report of an adaptation: both of its pages, and its pictures."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import pytest

pytest.importorskip("mmocr")

from adaptation_folder import ANY_CASE, COUNT, EXACT, NAMES, RIGHT, fill

from mms_ocr.apis.adaptation.context import Reconstructions
from mms_ocr.apis.adaptation.figures import summarize
from mms_ocr.apis.adaptation.pictures import masked_errors, reconstruct_crops
from mms_ocr.apis.adaptation.report import write_report
from mms_ocr.apis.adaptation.verdict import verdict


class Page(HTMLParser):
    """Rows of tables, paragraphs, tags and attributes of a page; tags have to be balanced."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.paragraphs, self.tags, self.sources = [], [], [], []
        self.alts, self._open, self._text = [], [], ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href", "srcset", "action", "style", "data") or key.startswith("on"):
                self.sources.append(value)
            if key == "alt":
                self.alts.append(value)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td", "p", "code"):
            self._text = ""
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag in ("th", "td"):
            self.rows[-1].append(self._text)
        if tag in ("p", "code"):
            self.paragraphs.append(self._text)

    def handle_data(self, data):
        self._text += data


def markdown_rows(text):
    lines = [line[2:-2] for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    rows = [row for row in cells if not all(re.fullmatch("-*:?", cell) for cell in row)]
    return [[html.unescape(re.sub(r"^\*+|\*+$", "", cell)) for cell in row] for row in rows]


def test_both_pages_show_the_figures(folder, context):
    figures = summarize(folder, context)
    write_report(folder, figures)
    assert json.loads((folder / "report.json").read_text()) == figures
    page = Page((folder / "report.html").read_text())
    text = (folder / "report.md").read_text()
    # Pictures are cells without text in HTML.
    rows = [[re.sub(r"^!\[.*", "", cell) for cell in row] for row in markdown_rows(text)]
    assert [row for row in rows if any(row)] == page.rows

    (reader,) = [row for row in page.rows if row[0] == "the finetune" and "296" in row]
    low, high = (
        f"{100 * figures['readers'][2]['accuracy'][ANY_CASE][end]:.1f}" for end in ("low", "high")
    )
    assert reader[1:] == [
        f"75.0 ({low}–{high})",
        f"75.0 ({low}–{high})",
        "296",
        "1,920 + 1,920",
        "3.0",
    ]
    (gain,) = [row for row in page.rows if row[:2] == ["the finetune", "the finetune_plain"]]
    assert gain[2].startswith("+15.0 (")
    assert gain[4:] == ["8", "2"]
    assert ["test images and near copies of them, left out", "12", "4", "0"] in page.rows
    assert not any("repeats" in row[0] for row in page.rows)  # there are none
    assert ["reader.onnx", "4.80 MB"] in page.rows
    for sentence in [*verdict(figures), *figures["notes"]]:
        assert sentence in page.paragraphs
        assert sentence in html.unescape(text)
    assert "Characters that training added to the dictionary: € (space)" in page.paragraphs
    assert "Broken: a.png: empty" in page.paragraphs
    (_, command) = context.commands[0]
    commands = f"$ cd '{folder}'\n# masked pretraining\n$ {command}"
    assert commands in page.paragraphs
    assert commands in text


def test_the_page_needs_no_other_file_and_has_every_picture(folder, context):
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures/word_99.png").write_bytes(b"of an earlier report")
    (folder / "pictures/mine.txt").write_bytes(b"of the user")
    write_report(folder, summarize(folder, context))
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", text)
    files = {path.name: path for path in (folder / "pictures").iterdir()}
    assert files.pop("mine.txt").read_bytes() == b"of the user"
    wrong = COUNT - len(RIGHT["finetune"])
    words = {f"word_{number:02}.png" for number in range(1, wrong + 1)}
    assert set(files) == {"masked_error.png", "loss.png", "accuracy.png"} | words
    assert all(cv2.imread(str(path)).std() > 5 for path in files.values())
    named = re.findall(r"!\[([^]]+)\]\(pictures/([^)]+)\)", (folder / "report.md").read_text())
    assert {file for _, file in named} == set(files)
    assert page.alts == [html.unescape(alt) for alt, _ in named]
    assert len(page.sources) == len(files)


SHOWN = {
    **{
        label: label
        for label in [
            "<b>bold</b>", "a|b", "`code`", "R&D &amp; co", "![x](http://a.b/c.png)", "**no**",
            "__init__", "\\|", "~~gone~~", "<!--", "אבג", "$x$", "# 1", ":smile:", "a_b_c",
        ]
    },
    "two\nlines": r"two\nlines", "\u202eabc": r"\u202eabc", " lead": "␣lead", "a  b": "a␣␣b",
}  # fmt: skip


@pytest.mark.parametrize("markup", ["commonmark", "html"])
def test_labels_are_shown_as_they_are(folder, markup):
    labels = list(SHOWN)
    texts = {name: ["" if n % 2 else "?" for n in range(len(labels))] for name in NAMES}
    write_report(folder, summarize(folder, fill(folder, labels, texts)))
    text = (folder / "report.html").read_text(encoding="utf-8")
    if markup == "commonmark":
        markdown_it = pytest.importorskip("markdown_it")
        parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
        text = parser.render((folder / "report.md").read_text(encoding="utf-8"))
        text = text.replace("<br>", "").replace(" />", ">")
    rows = [row for row in Page(text).rows if row[-1].startswith("word ")]
    assert len(rows) == len(labels)
    found = {row[1].strip("\u2068\u2069"): row[2] for row in rows}
    assert sorted(found) == sorted(SHOWN.values())
    assert found["<b>bold</b>"] == "?"
    assert found["a|b"] == "nothing"


def without(context, *names):
    """The same report without some trained readers."""
    readers = [reader for reader in context.readers if reader.name not in names]
    trainings = {name: each for name, each in context.trainings.items() if name not in names}
    return replace(context, readers=readers, trainings=trainings)


def test_without_a_comparison_the_report_says_so(folder, context):
    figures = summarize(folder, without(context, "finetune_plain"))
    assert len(figures["differences"]) == 1
    assert any("was not measured" in sentence for sentence in verdict(figures))
    untested = [
        replace(each, words=None) for each in context.readers if each.name == "finetune_plain"
    ]
    readers = [context.readers[0], *untested, context.readers[2]]
    figures = summarize(folder, replace(context, readers=readers))
    write_report(folder, figures)
    assert figures["readers"][1]["accuracy"] is None
    rows = Page((folder / "report.html").read_text()).rows
    assert ["the finetune_plain", "not tested", "not tested", "296", "1,920", "1.5"] in rows


def test_letters_outside_of_the_protocol_decide_by_all_characters(folder):
    labels = ["café", "CAFÉ", "thé"]
    texts = {
        "bundled": ["caf", "CAF", "th"],
        "finetune_plain": labels,
        "finetune": ["café", "café", "x"],
    }
    figures = summarize(folder, fill(folder, labels, texts))
    assert figures["headline"]["protocol"] == EXACT
    assert figures["written"] == "finetune_plain"
    write_report(folder, figures)
    page = Page((folder / "report.html").read_text())
    assert [
        "reader",
        "all characters, case-sensitive, %",
        "labels",
        "views",
        "minutes of training",
    ] in page.rows
    assert any("É é" in text for text in page.paragraphs)
    assert page.paragraphs[0].startswith(
        "Your reader reads 100.0% of 3 test words, the bundled one 0.0%"
    )


def test_all_right_and_no_logs(folder):
    labels = ["a1", "b2"]
    context = fill(folder, labels, dict.fromkeys(NAMES, labels))
    (folder / "runs/finetune/20260101_000000/vis_data/scalars.json").unlink()
    figures = summarize(folder, context)
    write_report(folder, figures)
    page = Page((folder / "report.html").read_text())
    assert figures["worst_words"] == []
    assert "The written reader reads all test words right." in page.paragraphs
    assert "The training finetune has logged no values." in page.paragraphs


PRETRAINING = """
_base_ = "{base}"
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=24
        )
    ),
    neck=dict(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2),
)
"""


def test_crops_are_filled_in_under_the_same_masks(folder, context, repository):
    import torch
    from mmengine.config import Config

    from mms_ocr.registry import MODELS

    (folder / "pretrain.py").write_text(
        PRETRAINING.format(base=repository / "configs/mms/pretrain_vit_n.py")
    )
    model = MODELS.build(Config.fromfile(folder / "pretrain.py").model)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "before.pth")
    with torch.no_grad():
        for parameter in model.neck.parameters():
            parameter.add_(0.3)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "after.pth")

    made = Reconstructions("pretrain.py", "before.pth", "after.pth")
    figures = summarize(folder, replace(context, reconstructions=made))
    errors = figures["reconstructions"]["errors"]
    assert figures["reconstructions"]["crops"] == COUNT
    assert set(errors["before"]) == {"random_patch", "blockwise", "span"}
    assert errors["before"] != errors["after"]
    weights = {"first": "before.pth", "again": "before.pth"}
    filled = reconstruct_crops(folder, "pretrain.py", weights, "data/test.lmdb", 256)
    assert masked_errors(filled["first"]) == masked_errors(filled["again"]) == errors["before"]
    write_report(folder, figures)
    path = folder / "pictures/filled_span.png"
    picture = cv2.imread(str(path))
    columns = [
        picture[18 + 36 * row :][:32, 4 + 132 * column :][:, :128]
        for row in range(6)
        for column in range(4)
    ]
    crop, masked, before, after = columns[:4]
    hidden = (crop != masked).any(axis=2)
    assert 0.5 < hidden.mean() <= 0.75
    assert (crop == before)[~hidden].all()
    assert (crop == after)[~hidden].all()
    assert (before != after)[hidden].any()
    rows = Page((folder / "report.html").read_text()).rows
    assert ["spans", f"{errors['before']['span']:.3f}"] in [row[:2] for row in rows]
