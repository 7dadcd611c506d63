"""HTML of the results: a card for each word.

Pictures are in the page itself, as ``data:`` addresses, so that none is written to a file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np

from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.reading import Reading
from mms_ocr.apis.segmenting import SegmentedWord
from mms_ocr.apis.upscaling import UpscaledWord
from mms_ocr.apis.web.results import MaskedWord

#: Confidence from which a character is marked as sure, and below which as doubtful.
SURE, DOUBTFUL = 0.9, 0.6

_SHOWN_SIDE, _PHOTOGRAPH_SIDE = 640, 1200  # most pixels in height and width


def data_url(image: np.ndarray, suffix: str = ".png") -> str:
    """Encode a gray, BGR or BGRA image as an address that holds it."""
    _, encoded = cv2.imencode(suffix, image)
    content = base64.b64encode(encoded.tobytes()).decode()
    return f"data:image/{'jpeg' if suffix == '.jpg' else suffix[1:]};base64,{content}"


def _at_most(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink an image to a height and width of at most ``side``."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def picture(image: np.ndarray, alt: str, style: str = "", caption: str = "") -> str:
    """Make a figure of an image, shrunk to what fits; ``style`` is a class of ``page.css``."""
    image = _at_most(image, _SHOWN_SIDE)
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="{style}"><img src="{data_url(image)}" alt="{escape(alt)}">{text}</figure>'
    )


def message_list(messages: Sequence[str]) -> str:
    """Make the list of what could not be used, which screen readers announce; '' for none."""
    items = "".join(f"<li>{escape(message)}</li>" for message in messages)
    return f'<ul class="messages" role="alert">{items}</ul>' if items else ""


def reading_cards(words: Sequence[InputImage], readings: Iterable[Reading]) -> str:
    """Show words with their text, and the confidence of each character below it."""
    cards = []
    for word, reading in zip(words, readings):
        body = picture(word.image, f"word image: {word.name}", "thumb")
        if reading.error is not None:
            body += message_list([reading.error])
        elif not reading.text:
            body += '<p class="text none">no text read</p>'
        else:
            body += f'<p class="text">{escape(reading.text)}{_percent(reading.confidence)}</p>'
            body += _characters(reading)
        cards.append(_card(word.name, body))
    return _cards(cards)


def _characters(reading: Reading) -> str:
    if reading.char_confidences is None:
        return ""
    items = []
    for character, value in zip(reading.text or "", reading.char_confidences):
        level = "sure" if value >= SURE else "doubtful" if value < DOUBTFUL else "unsure"
        shown = "␣" if character == " " else escape(character)
        items.append(f'<li class="{level}"><b>{shown}</b><small>{100 * value:.0f}</small></li>')
    label = "characters with their confidence in percent"
    return f'<ol class="characters" aria-label="{label}">{"".join(items)}</ol>'


def _percent(confidence: float | None) -> str:
    return "" if confidence is None else f" <small>confidence {100 * confidence:.0f}%</small>"


def segmentation_cards(words: Sequence[InputImage], segmented: Iterable[SegmentedWord]) -> str:
    """Show masks and cut-outs, with links to download them."""
    cards = []
    for word, result in zip(words, segmented):
        mask, cutout = result.mask.astype(np.uint8) * 255, result.cutout()
        body = picture(word.image, f"word image: {word.name}", "", "image")
        body += picture(mask, f"text pixels of {word.name}, white", "", "mask")
        body += picture(cutout, f"{word.name} without its background", "checked", "cut-out")
        links = _download(cutout, "cutout", word.name) + _download(mask, "mask", word.name)
        cards.append(_card(word.name, f'<div class="panels">{body}</div>{links}'))
    return _cards(cards)


def sharpened_cards(words: Sequence[InputImage], upscaled: Iterable[UpscaledWord]) -> str:
    """Show images before and after super-resolution, with links to download them."""
    cards = []
    for word, result in zip(words, upscaled):
        body = picture(word.image, f"word image: {word.name}", "", "image")
        body += picture(result.upscaled, f"{word.name}, sharpened", "", "sharpened")
        body = f'<div class="panels">{body}</div>'
        if result.shrunk:
            body += (
                '<p class="hint">larger than the 16 × 64 pixels of the model, so it has lost '
                "detail; the model is for small words</p>"
            )
        cards.append(_card(word.name, body + _download(result.upscaled, "sharpened", word.name)))
    return _cards(cards)


def masked_cards(masked: Iterable[MaskedWord]) -> str:
    """Show words, their masks, and what the encoder fills in."""
    cards = []
    for word in masked:
        body = picture(word.image, f"{word.name} at the size of the encoder", "pixels", "image")
        body += picture(word.masked, f"{word.name} under a mask", "pixels", word.strategy)
        body += picture(word.filled, f"{word.name}, filled in", "pixels", "filled in")
        error = f'<p class="hint">error on the removed patches: {word.error:.2f}</p>'
        cards.append(_card(word.name, f'<div class="panels">{body}</div>{error}'))
    return _cards(cards)


def photograph(image: np.ndarray, boxes: Sequence[Sequence[float]]) -> str:
    """Show a photograph with its numbered boxes; ``photo.js`` draws new ones on it."""
    marks = "".join(
        f'<div class="box" style="left:{left:.2f}%;top:{top:.2f}%;width:{width:.2f}%;'
        f'height:{height:.2f}%"><span>{number}</span></div>'
        for number, (left, top, width, height) in enumerate(boxes, start=1)
    )
    url = data_url(_at_most(image, _PHOTOGRAPH_SIDE), ".jpg")
    return f'<div class="photo"><img src="{url}" alt="photograph" draggable="false">{marks}</div>'


def example_buttons(words: Sequence[InputImage]) -> str:
    """Make a button with a picture for each example; their numbers are sent."""
    buttons = "".join(
        f'<button type="button" data-index="{index}" aria-label="Example: {escape(word.name)}">'
        f'<img src="{data_url(word.image)}" alt=""></button>'
        for index, word in enumerate(words)
    )
    return f'<div class="examples" role="group" aria-label="Examples">{buttons}</div>'


def _card(name: str, body: str) -> str:
    return f'<article class="card"><h3>{escape(name)}</h3>{body}</article>'


def _cards(cards: Sequence[str]) -> str:
    if not cards:
        return '<p class="empty">Give a word image, or try one of the examples.</p>'
    return f'<div class="cards">{"".join(cards)}</div>'


def _download(image: np.ndarray, what: str, name: str) -> str:
    label = f"Download {'cut-out' if what == 'cutout' else what}"
    return (
        f'<a class="download" href="{data_url(image)}" download="{what}.png" '
        f'aria-label="{label} of {escape(name)}">{label}</a>'
    )
