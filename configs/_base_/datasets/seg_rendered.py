# Words rendered on the fly with exact masks: no files needed. Training and validation use
# different font families. To use a folder of other fonts:
#   python tools/train.py configs/segmentation/mms_vit_s_seg_rendered.py --cfg-options \
#       train_dataloader.dataset.fonts=FOLDER val_dataloader.dataset.fonts=FOLDER \
#       test_dataloader.dataset.fonts=FOLDER
resize = dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bicubic")
train_pipeline = [resize, dict(type="mms_ocr.PackWordCoverage", size=(64, 256))]
# Compared at the size of the original image: the mask is not resized.
val_pipeline = [resize, dict(type="mms_ocr.PackWordMask")]

train_dataloader = dict(
    batch_size=256,
    num_workers=16,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type="mms_ocr.collate_words"),
    sampler=dict(type="mms_ocr.EndlessSampler", shuffle=True),
    dataset=dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=1_000_000,
        seed=0,
        fonts=None,
        font_part="train",
        extras=("mask",),
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
    dataset=dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=2048,
        seed=1,
        fonts=None,
        font_part="val",
        extras=("mask",),
        pipeline=val_pipeline,
    ),
)

val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="mms_ocr.ForegroundMetric")

test_dataloader = val_dataloader
test_cfg = dict(type="TestLoop")
test_evaluator = val_evaluator
