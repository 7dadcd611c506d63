# Example for MMSegmentation, which must be installed: TextViT as the backbone of its EncoderDecoder,
# with four feature maps and a SegFormer head.
_base_ = [
    "../_base_/datasets/seg_rendered.py",
    "../_base_/schedules/pixel.py",
    "../_base_/seg_runtime.py",
]
custom_imports = dict(imports=["mms_ocr", "mmseg.models"])  # mms_ocr for MMSegmentation's own tools

model = dict(
    type="mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="mmseg.SegDataPreProcessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        size=(32, 128),
        seg_pad_val=255,
    ),
    backbone=dict(
        type="mms_ocr.TextViT",
        arch="small",
        img_size=(32, 128),
        patch_size=4,
        out_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
    decode_head=dict(
        type="mmseg.SegformerHead",
        in_channels=[384, 384, 384, 384],
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=2,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="mmseg.CrossEntropyLoss", loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

resize = dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bicubic")
pack = dict(type="mmseg.PackSegInputs", meta_keys=("img_path", "ori_shape", "img_shape"))
classes = dict(classes=("background", "text"), palette=[[0, 0, 0], [255, 255, 255]])

train_dataloader = dict(
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        metainfo=classes,
        # Image and mask are resized together ...
        pipeline=[
            dict(type="mms_ocr.AsSegMap"),
            dict(type="Resize", scale=(128, 32), keep_ratio=False),
            pack,
        ],
    ),
)
val_dataloader = dict(
    collate_fn=dict(type="pseudo_collate"),
    # ... and in validation the image alone: masks are compared at their original size.
    dataset=dict(metainfo=classes, pipeline=[resize, dict(type="mms_ocr.AsSegMap"), pack]),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type="mms_ocr.ForegroundMetric"),
    dict(type="mmseg.IoUMetric", iou_metrics=["mIoU", "mFscore"]),
]
test_evaluator = val_evaluator
