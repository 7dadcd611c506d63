# TextZoom (Wang et al., ECCV 2020) as released: two LMDBs to train, and easy, medium and hard ones to
# test, measured one by one and together. A fixed 5% of the training pairs is held out for validation, so
# that no checkpoint is chosen on the test sets. To set another folder:
#   python tools/train.py configs/super_resolution/mms_vit_s_sr_textzoom.py --data FOLDER
_base_ = "./sr_pairs.py"

data_path = "data/TextZoom"
share = 0.05

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextZoomDataset",
        path=data_path,
        splits=("train1", "train2"),
        holdout=dict(share=share, part="train"),
        pipeline=_base_.pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextZoomDataset",
        path=data_path,
        splits=("train1", "train2"),
        holdout=dict(share=share, part="val"),
        pipeline=_base_.pipeline,
    )
)

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextZoomDataset",
        path=data_path,
        splits=("test/easy", "test/medium", "test/hard"),
        labelled=True,
        pipeline=_base_.pipeline,
    )
)
