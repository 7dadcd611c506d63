# Your own unlabelled word images: folders, LMDBs or JSON lines. Set the paths on the command line:
#   python tools/train.py configs/mms/pretrain_vit_s_words.py --data PATH [PATH ...]
# A fixed 1% of the images is held out for validation.
_base_ = "./rendered_words.py"

train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
data_path = "data/words"
share = 0.01

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        holdout=dict(share=share, part="train"),
        pipeline=train_pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        holdout=dict(share=share, part="val"),
        indices=4096,
        pipeline=val_pipeline,
    )
)

test_dataloader = val_dataloader
