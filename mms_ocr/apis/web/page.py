"""The page: its components, and what its events do."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.web import cards
from mms_ocr.apis.web.inputs import (
    LIMITS,
    MAX_BYTES,
    MAX_WORDS,
    crop_box,
    example_photograph,
    read_files,
    render_examples,
    shrink,
)
from mms_ocr.apis.web.results import STRATEGIES, PageModels
from mms_ocr.utils.errors import user_message

FOLDER = Path(__file__).parent
_FILES_JS = (FOLDER / "files.js").read_text(encoding="utf-8")
_PHOTO_JS = (FOLDER / "photo.js").read_text(encoding="utf-8")
_EXAMPLES_JS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) trigger("select", { index: Number(button.dataset.index) });
});
"""
_HEAD = """
<header class="page-head"><h1>Word images: read, cut out, sharpen, mask</h1>
<p>These models work on crops of one word or line each, not on whole pages: they do not look for
words. Under “Photograph” you cut words out yourself. Images stay in the memory of this
machine.</p>
</header>"""
_LEGEND = f"""
<ul class="legend" aria-label="Marks of the characters"><li class="sure">sure, from
{100 * cards.SURE:.0f}%</li><li class="unsure">unsure</li><li class="doubtful">doubtful, below
{100 * cards.DOUBTFUL:.0f}%</li></ul>
<p class="note">The confidence of a word is lower than those of its characters where the reader may
have missed a character, or read one too many.</p>"""
_MASK_NOTE = """
<p class="note">Pretraining removes patches of a word and has the encoder predict them from the
others. It predicts only the pattern of a patch: here each has the brightness and contrast of the
true one. “mixed” gives every word one of the three strategies.</p>"""


def build_page(models: PageModels) -> gr.Blocks:
    """Build the page; images are kept in the memory of a session."""
    examples = render_examples()
    sheet = example_photograph(examples)
    with gr.Blocks(title="mms_ocr") as page:
        words, photo = gr.State([]), gr.State(None)
        boxes, seed = gr.State([]), gr.State(0)
        _html(_HEAD)
        with gr.Row():
            with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
                with gr.Tabs():
                    with gr.Tab("Word images"):
                        files = _file_zone("Drop word images here", MAX_WORDS)
                        _html('<p class="hint">Or try a rendered word:</p>')
                        chosen = _html(cards.example_buttons(examples), js_on_load=_EXAMPLES_JS)
                    with gr.Tab("Photograph"):
                        photo_file = _file_zone("Drop a photograph here", 1)
                        try_sheet = gr.Button("Try a sheet of rendered words", size="sm")
                        shown = _html("", js_on_load=_PHOTO_JS)
                        with gr.Accordion("Box by numbers, in percent", open=False):
                            with gr.Row():
                                sides = [
                                    gr.Number(value, label=label, minimum=0, maximum=100)
                                    for label, value in (
                                        ("Left", 0), ("Top", 0), ("Width", 50), ("Height", 30)
                                    )
                                ]  # fmt: skip
                            add = gr.Button("Add box", size="sm")
                clear = gr.Button("Clear", size="sm")
                messages = _html("")
            with gr.Column(scale=3, min_width=320), gr.Tabs():
                with gr.Tab("Read"):
                    _html(_LEGEND)
                    read = _html(cards.reading_cards([], []))
                with gr.Tab("Cut out"):
                    cut = _html(cards.segmentation_cards([], []), elem_classes="wide")
                with gr.Tab("Sharpen"):
                    sharp = _html(cards.sharpened_cards([], []), elem_classes="wide")
                with gr.Tab("Mask"):
                    _html(_MASK_NOTE)
                    strategy = gr.Radio(STRATEGIES, value=STRATEGIES[0], label="Strategy")
                    ratio = gr.Slider(
                        5, 95, value=60, step=5, label="Mask ratio, percent of the patches"
                    )
                    again = gr.Button("Draw other masks", size="sm")
                    masked = _html(cards.masked_cards([]), elem_classes="wide")
        _html(_foot(models))

        settings, results = [strategy, ratio, seed], [read, cut, sharp, masked]
        outputs = [messages, words, photo, boxes, shown, *results]
        actions = PageActions(models, examples, sheet)
        inputs = [words, photo, boxes, *settings]
        on = functools.partial(_listen, outputs=outputs, trigger_mode="multiple")
        on(files.upload, actions.take_words, inputs)
        on(chosen.select, actions.take_example, inputs)
        on(photo_file.upload, actions.take_photograph, inputs)
        on(try_sheet.click, actions.take_sheet, inputs)
        on(shown.select, actions.take_box, inputs)
        on(add.click, actions.take_box, [*inputs, *sides])
        on(clear.click, actions.clear, inputs)
        for event in (strategy.change, ratio.change):
            _listen(event, actions.mask, [words, *settings], masked, trigger_mode="always_last")
        again.click(
            lambda number: number + 1, seed, seed, show_progress="hidden", api_visibility="private"
        ).then(actions.mask, [words, *settings], masked, api_visibility="private")

        def forget(request: gr.Request) -> None:
            # Gradio would keep the state for an hour, and the last results until it ends.
            page.state_holder.session_data.pop(request.session_hash, None)

        page.unload(forget)
    return page


class PageActions:
    """What the events of the page do.

    The arguments are the event, if it has data; the words, the photograph and the boxes of the
    session; and strategy, mask ratio in percent and seed of the masks. The results are the values
    of the page's outputs: messages, words, photograph, boxes, the photograph as shown, and a result
    for each tab.
    """

    def __init__(
        self, models: PageModels, examples: Sequence[InputImage], sheet: InputImage
    ) -> None:
        self.models = models
        self.examples = examples
        self.sheet = sheet

    def take_words(
        self, event: gr.EventData, words: Any, photo: Any, boxes: Any, *settings: Any
    ) -> tuple:
        """Replace the words by those of files."""
        taken, messages = read_files(event._data.get("files"))
        if not taken:
            return self._unchanged(messages or ["no file was given"])
        shrunk = [shrink(word) for word in taken]
        messages += [line for _, lines in shrunk for line in lines]
        return self._show([word for word, _ in shrunk], None, [], settings, messages)

    def take_example(
        self, event: gr.EventData, words: Any, photo: Any, boxes: Any, *settings: Any
    ) -> tuple:
        """Replace the words by an example."""
        example = self.examples[int(event._data["index"])]
        return self._show([example], None, [], settings)

    def take_photograph(
        self, event: gr.EventData, words: Any, photo: Any, boxes: Any, *settings: Any
    ) -> tuple:
        """Show a photograph, in place of the words."""
        taken, messages = read_files(event._data.get("files"), limit=1)
        if not taken:
            return self._unchanged(messages or ["no file was given"])
        return self._show([], taken[0], [], settings, messages)

    def take_sheet(self, words: Any, photo: Any, boxes: Any, *settings: Any) -> tuple:
        """Show the sheet of rendered words, in place of the words."""
        return self._show([], self.sheet, [], settings)

    def take_box(
        self, event: gr.EventData, words: Any, photo: Any, boxes: Any, *settings: Any
    ) -> tuple:
        """Add a box of the photograph to the words: one that is drawn, or that of the numbers."""
        settings, sides = settings[:3], settings[3:]
        if photo is None:
            return self._unchanged(["no photograph is shown; give one first"])
        if len(boxes) >= MAX_WORDS:
            return self._unchanged([f"there are {MAX_WORDS} boxes, the most; clear them first"])
        box = list(sides or event._data["box"])
        try:
            image = crop_box(photo.image, box)
        except ValueError as error:
            return self._unchanged([str(error)])
        word, messages = shrink(InputImage(f"box {len(boxes) + 1}", image))
        return self._show([*words, word], photo, [*boxes, box], settings, messages)

    def clear(self, *_: Any) -> tuple:
        """Forget words and photograph."""
        return self._show([], None, [], (STRATEGIES[0], 60, 0))

    def mask(self, words: Any, strategy: str, ratio: float, seed: int) -> str:
        """Mask the words again."""
        return cards.masked_cards(self.models.mask(words, strategy, ratio / 100, seed))

    def _show(
        self,
        words: Sequence[InputImage],
        photo: InputImage | None,
        boxes: Sequence[Sequence[float]],
        settings: Sequence[Any],
        messages: Sequence[str] = (),
    ) -> tuple:
        return (
            cards.message_list(messages),
            words,
            photo,
            boxes,
            "" if photo is None else cards.photograph(photo.image, boxes),
            cards.reading_cards(words, self.models.read(words)),
            cards.segmentation_cards(words, self.models.segment(words)),
            cards.sharpened_cards(words, self.models.upscale(words)),
            self.mask(words, *settings),
        )

    def _unchanged(self, messages: Sequence[str]) -> tuple:
        return (cards.message_list(messages), *[gr.skip()] * 8)


def _listen(
    listener: Callable, action: Callable, inputs: Any, outputs: Any, **options: Any
) -> None:
    """Call an action at an event; an error that the user can correct is shown on the page."""

    @functools.wraps(action)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return action(*args, **kwargs)
        except Exception as error:
            message = user_message(error)
            if message is None:
                logging.getLogger("mms_ocr").exception("an event of the page has failed")
            raise gr.Error(
                message or f"{type(error).__name__}; see the log of mms-ocr web"
            ) from error

    listener(run, list(inputs), outputs, api_visibility="private", **options)


def _html(value: str, **options: Any) -> Any:
    """Make a component of HTML that ``page.css`` alone styles."""
    return gr.HTML(value, apply_default_css=False, **options)


def _file_zone(title: str, count: int) -> Any:
    multiple = "multiple" if count > 1 else ""
    return _html(
        f'<label class="drop"><strong>{title}</strong>'
        "<span>paste with Ctrl+V, or choose files</span>"
        f"<span>{LIMITS if count > 1 else LIMITS.partition('each ')[2]}</span>"
        f'<input type="file" aria-label="{title}" data-bytes="{MAX_BYTES}" data-count="{count}" '
        f"{multiple}></label>",
        js_on_load=_FILES_JS,
    )


def _foot(models: PageModels) -> str:
    rows = "".join(
        f'<dt>{kind}</dt><dd><code>{escape(name)}</code></dd><dd class="terms">{escape(terms)}</dd>'
        for kind, name, terms in models.describe()
    )
    return (
        f'<footer class="page-foot"><h2>Models of this page</h2><dl>{rows}</dl><p>'
        "<code>mms-ocr zoo NAME</code> lists the training data, terms and scores of bundled "
        "weights.</p></footer>"
    )
