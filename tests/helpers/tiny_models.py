"""Tiny models and batches that tests of the models share."""

import pytest
import torch

from mms_ocr.masking import MaskViews
from mms_ocr.models import TextViT
from mms_ocr.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
CROSS = dict(
    type="mms_ocr.CrossAttentionDecoder",
    decoder_embed_dim=16,
    decoder_depth=2,
    decoder_num_heads=4,
)
SELF = dict(
    type="mms_ocr.SelfAttentionDecoder",
    decoder_embed_dim=16,
    decoder_depth=2,
    decoder_num_heads=4,
)
BACKBONE = dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(16, 32))
PIXELS = dict(
    type="mms_ocr.PixelDecoder", decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2
)
#: Settings of a TextDecoder on the encoder.
TEXT = dict(
    type="mms_ocr.TextDecoder",
    n_layers=1,
    d_embedding=24,
    d_model=24,
    n_head=2,
    d_k=12,
    d_v=12,
    d_inner=24,
    postprocessor=dict(type="mmocr.AttentionPostprocessor"),
)
#: Settings of a CTCDecoder on the encoder.
CTC = dict(
    type="mms_ocr.CTCDecoder", in_channels=24, postprocessor=dict(type="mmocr.CTCPostProcessor")
)
STRATEGIES = ("RandomPatchMask", "BlockwiseMask", "SpanMask")


def shake(module):
    """Give every parameter but the positions a value of its own, so that none can be mixed up."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.endswith("pos_embed"):
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return module


def tiny_encoder(img_size=(16, 32), **settings):
    return shake(TextViT(arch=ARCH, img_size=img_size, **settings))


def same_weights(module, weights):
    """Return whether a module (or a state dict) has exactly these weights, bit for bit."""
    own = module.state_dict() if isinstance(module, torch.nn.Module) else module
    return own.keys() == weights.keys() and all(
        torch.equal(own[key], value) for key, value in weights.items()
    )


def recognizer_config(tmp_path, backbone=BACKBONE, **decoder):
    """Build the config of a recognizer of MMOCR for the characters a, b and c."""
    pytest.importorskip("mmocr")
    path = tmp_path / "characters.txt"
    path.write_text("a\nb\nc")
    tokens = dict(with_padding=True, with_start=True, with_end=True)
    dictionary = dict(type="mmocr.Dictionary", dict_file=str(path), **tokens)
    return dict(
        type="mmocr.EncoderDecoderRecognizer",
        backbone=backbone,
        decoder=dict(dictionary=dictionary, **decoder),
        data_preprocessor=dict(type="mmocr.TextRecogDataPreprocessor"),
    )


def mms_config(img_size=(16, 32), neck=CROSS, norm_pix=True, contrast=None, init_cfg=None, **masks):
    grid = (img_size[0] // 4, img_size[1] // 4)
    generator = dict(
        type="mms_ocr.MultiMask",
        strategies=[dict(type=f"mms_ocr.{kind}") for kind in STRATEGIES],
        ratio=0.75,
        grid=grid,
    )
    return dict(
        type="mms_ocr.MMS",
        backbone=dict(type="mms_ocr.TextViT", arch=ARCH, img_size=img_size),
        neck=dict(neck),
        head=dict(type="mms_ocr.MaskedPixelHead", norm_pix=norm_pix),
        data_preprocessor=dict(
            type="mms_ocr.MaskedTextDataPreprocessor", mask_generator=generator | masks
        ),
        contrast=contrast,
        init_cfg=init_cfg,
    )


def tiny_mms(**settings):
    return shake(MODELS.build(mms_config(**settings)))


def one_view(mask):
    """Make a mask the only view of a batch."""
    return MaskViews(
        masks=(mask,),
        strategies=(torch.zeros(len(mask), dtype=torch.long),),
        names=("given",),
        weights=(1.0,),
        num_removed=(int(mask[0].sum()),),
        guaranteed=("given",),
    )


def random_mask(batch, length, removed):
    return torch.rand(batch, length).argsort(dim=1) < removed


def write_pixel_config(path, base, more=""):
    """Write the config of a tiny model of segmentation or super-resolution; gives its path."""
    arch = dict(ARCH, num_layers=1, _delete_=True)
    decoder = dict(decoder_embed_dim=24, decoder_depth=1)
    model = dict(backbone=dict(arch=arch), decoder=decoder)
    path.write_text(f"_base_ = [{str(base)!r}]\nmodel = {model!r}\n{more}")
    return str(path)
