# Labelled words rendered on the fly: no files needed, the same index always gives the same word. The
# renderer rotates, tilts, blurs and lights the words, so there is no other augmentation.
pipeline = [
    dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bicubic"),
    dict(type="mms_ocr.PackLabelledWord"),
]

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="mms_ocr.EndlessSampler", shuffle=True),
    dataset=dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=1_000_000,
        seed=0,
        extras=("char_boxes",),  # for mms_ocr.LocatedCTCLoss
        pipeline=pipeline,
    ),
)

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="mms_ocr.RenderedWordDataset", num_samples=2048, seed=1, pipeline=pipeline),
)

val_cfg = dict(type="ValLoop")
val_evaluator = [
    dict(type="mmocr.WordMetric", mode=["exact", "ignore_case", "ignore_case_symbol"]),
    dict(type="mmocr.CharMetric"),
]

test_dataloader = val_dataloader
test_cfg = dict(type="TestLoop")
test_evaluator = val_evaluator
