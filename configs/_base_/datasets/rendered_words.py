# Words rendered on the fly: no files needed, the same index always gives the same image.
resize = dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bicubic")
# Training needs only the pixels; in validation the masks of an image depend on its index.
train_pipeline = [resize, dict(type="mms_ocr.PackWordImage", meta_keys=())]
val_pipeline = [resize, dict(type="mms_ocr.PackWordImage", meta_keys=("sample_idx",))]

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type="mms_ocr.collate_words"),
    sampler=dict(type="mms_ocr.EndlessSampler", shuffle=True),
    dataset=dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=1_000_000,
        seed=0,
        pipeline=train_pipeline,
    ),
)

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    collate_fn=dict(type="mms_ocr.collate_words"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    # Other words in the same fonts: the bundled fonts are nine families, too few to hold some out.
    # With fonts of your own, font_part="train" above and font_part="val" here separate families.
    dataset=dict(
        type="mms_ocr.RenderedWordDataset", num_samples=2048, seed=1, pipeline=val_pipeline
    ),
)

val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="mms_ocr.MaskedError")

test_dataloader = val_dataloader
test_cfg = dict(type="TestLoop")
test_evaluator = val_evaluator
