# Rendered words, each sharp and degraded: no files needed. The renderer's own camera effects are off;
# mms_ocr.DegradeWord makes the low-resolution image. In validation a word is always degraded in the
# same way.
train_pipeline = [
    dict(type="mms_ocr.DegradeWord", size=(32, 128), scale=2),
    dict(type="mms_ocr.PackWordPair"),
]
val_pipeline = [
    dict(type="mms_ocr.DegradeWord", size=(32, 128), scale=2, seed=1),
    dict(type="mms_ocr.PackWordPair"),
]
sharp = dict(low_resolution=0, defocus=0, motion=0, noise=0, sharpening=0, jpeg=0)

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="mms_ocr.EndlessSampler", shuffle=True),
    dataset=dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=1_000_000,
        seed=0,
        settings=sharp,
        pipeline=train_pipeline,
    ),
)

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=1024,
        seed=1,
        settings=sharp,
        pipeline=val_pipeline,
    ),
)

# Every metric is also measured for bicubic enlargement.
val_cfg = dict(type="ValLoop")
val_evaluator = [
    dict(type="mms_ocr.PSNR"),
    dict(type="mms_ocr.SSIM"),
    dict(type="mms_ocr.PSNR", pred_key="bicubic_img", prefix="bicubic"),
    dict(type="mms_ocr.SSIM", pred_key="bicubic_img", prefix="bicubic"),
]

test_dataloader = val_dataloader
test_cfg = dict(type="TestLoop")
test_evaluator = val_evaluator
