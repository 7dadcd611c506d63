# The upscaler: from the encoder, on sharp words, rendered and real ones, that are degraded differently each
# time.
_base_ = ["../../../configs/super_resolution/mms_vit_n_sr_words.py", "./data.py"]

fonts = "{{$FONTS:data/fonts}}"
sharp_words = [
    _base_.real + name + ".jsonl" for name in ("iiit5k/train", "icdar2003/train", "icdar2015/train")
]
rendered_words = dict(
    type="mms_ocr.RenderedWordDataset",
    num_samples=1_000_000,
    seed=0,
    fonts=fonts,
    settings=_base_.sharp,
    pipeline=_base_.train_pipeline,
)
real_words = dict(
    type="mms_ocr.WordImageDataset",
    path=sharp_words,
    holdout=dict(share=0.1, part="train"),
    pipeline=_base_.train_pipeline,
)
train_dataloader = dict(
    batch_size=64,
    **_base_.loader,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.MixedDataset",
        datasets=[rendered_words, real_words],
        weights=[1, 1],
    ),
)
val_dataloader = dict(
    batch_size=64, **_base_.held_out_loader, dataset=dict(path=sharp_words, indices=512)
)
test_dataloader = dict(batch_size=64, **_base_.held_out_loader, dataset=dict(path=sharp_words))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
model = dict(
    feature_loss=dict(
        type="mms_ocr.EncoderFeatureLoss",
        encoder=dict(
            type="mms_ocr.TextViT",
            arch="nano",
            img_size=(32, 128),
            patch_size=(8, 4),
            stem="conv",
            init_cfg=dict(type="mms_ocr.PretrainedTextViT", checkpoint="mms_ocr://mms_vit_n_ctc"),
        ),
        loss_weight=0.02,
    )
)
