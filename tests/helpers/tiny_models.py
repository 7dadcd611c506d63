"""Tiny models and batches that tests of the models share."""

import torch

from mms_ocr.masking import MaskViews
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
STRATEGIES = ("RandomPatchMask", "BlockwiseMask", "SpanMask")


def shake(module):
    """Give every parameter but the positions a value of its own, so that none can be mixed up."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.endswith("pos_embed"):
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return module


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
    """A given mask as the only view of a batch."""
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
