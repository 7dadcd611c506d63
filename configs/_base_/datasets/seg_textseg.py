# Word crops of TextSeg as it is released; trained on train and val, measured on test.
_base_ = "./seg_pairs.py"

data_path = "data/TextSeg"

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextSegDataset",
        path=data_path,
        splits=("train", "val"),
        pipeline=_base_.train_pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextSegDataset",
        path=data_path,
        splits=("test",),
        pipeline=_base_.val_pipeline,
    )
)

test_dataloader = val_dataloader
