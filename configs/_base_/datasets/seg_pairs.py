# Your own words with masks: folders with image/ and mask/, LMDBs or JSON lines. Set the paths on the
# command line:
#   python tools/train.py configs/segmentation/mms_vit_s_seg_pairs.py --data PATH [PATH ...]
# A fixed tenth of the words is held out for validation.
_base_ = "./seg_rendered.py"

data_path = "data/words_with_masks"
share = 0.1
train_pipeline = [
    dict(type="mms_ocr.WarpWordMask", prob=0.5),
    dict(
        type="mmpretrain.ColorJitter",
        brightness=0.5,
        contrast=0.5,
        saturation=0.5,
        hue=0.1,
        backend="cv2",
    ),
    *_base_.train_pipeline,
]
val_pipeline = _base_.val_pipeline

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordMaskDataset",
        path=data_path,
        holdout=dict(share=share, part="train"),
        pipeline=train_pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordMaskDataset",
        path=data_path,
        holdout=dict(share=share, part="val"),
        pipeline=val_pipeline,
    )
)

test_dataloader = val_dataloader
