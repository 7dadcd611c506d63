# The autoregressive reader: from the encoder and the columns of the CTC reader, two rendered words for
# each real one.
_base_ = [
    "../../../configs/textrecog/mms_vit_n_ar_words.py",
    "../../../configs/_base_/ema.py",
    "./data.py",
]

reader = "mms_ocr://mms_vit_n_ctc"
model = dict(
    backbone=dict(init_cfg=dict(type="mms_ocr.PretrainedTextViT", checkpoint=reader)),
    decoder=dict(
        columns=dict(
            init_cfg=dict(
                type="mms_ocr.PretrainedModel", checkpoint=reader, prefix="decoder.columns."
            )
        )
    ),
)
rendered = dict(
    type="mms_ocr.WordImageDataset",
    path=_base_.rendered_path,
    labelled=True,
    extras=("char_boxes",),
    pipeline=_base_.pipeline,
)
real_words = dict(
    type="mms_ocr.WordImageDataset",
    path=_base_.labelled,
    labelled=True,
    holdout=dict(share=0.03, part="train"),
    # A few labels are longer than 32 columns can spell.
    pipeline=[dict(type="mms_ocr.SkipLongLabels", max_columns=32), *_base_.train_pipeline],
)
train_dataloader = dict(
    batch_size=64,
    **_base_.loader,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.MixedDataset",
        datasets=[rendered, real_words],
        weights=[2, 1],
    ),
)
val_dataloader = dict(
    batch_size=128,
    **_base_.held_out_loader,
    dataset=dict(path=_base_.labelled, holdout=dict(share=0.03)),
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3), paramwise_cfg=dict(layer_decay_rate=0.85))

# A short warm-up, since the encoder is trained already.
max_iters = 5_000  # 320,000 words
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=200),
    dict(
        type="CosineAnnealingLR",
        T_max=max_iters - 200,
        by_epoch=False,
        begin=200,
        end=max_iters,
    ),
]
train_cfg = dict(max_iters=max_iters, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=500))
