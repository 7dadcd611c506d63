# Your own sharp word images, degraded: folders, LMDBs or JSON lines. Set the paths on the command
# line:
#   python tools/train.py configs/super_resolution/mms_vit_s_sr_words.py --data PATH [PATH ...]
# A fixed tenth of the words is held out, each always degraded in the same way. Validation uses the
# first 2,048 of them, tools/test.py all.
_base_ = "./sr_rendered.py"

data_path = "data/words"
share = 0.1

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        holdout=dict(share=share, part="train"),
        pipeline=_base_.train_pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        holdout=dict(share=share, part="val"),
        indices=2048,
        pipeline=_base_.val_pipeline,
    )
)

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        holdout=dict(share=share, part="val"),
        pipeline=_base_.val_pipeline,
    )
)
