"""Labelled samples and dictionaries that tests of the text decoders share."""

from mmengine.structures import LabelData
from mmocr.models.common.dictionary import Dictionary
from mmocr.structures import TextRecogDataSample


def samples(words, ratios=None, spans=None):
    """Samples of words; the path of an image is its index."""
    return [
        TextRecogDataSample(
            gt_text=LabelData(item=word),
            metainfo=dict(
                img_path=f"{i}.png",
                valid_ratio=ratios[i] if ratios else 1.0,
                char_spans=(spans or {}).get(word, ()),
            ),
        )
        for i, word in enumerate(words)
    ]


class PaddingFirst(Dictionary):
    """A dictionary whose padding token is at index 0."""

    def _update_dict(self):
        self._dict.insert(0, self.padding_token)
        with_padding, self.with_padding = self.with_padding, False
        super()._update_dict()
        self.with_padding, self.padding_idx = with_padding, 0
