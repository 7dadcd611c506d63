# Word crops of TextSeg as it is released: trained on train, the best checkpoint chosen on val, tested on
# test. Published numbers are of train and val together and of the last checkpoint:
#   python tools/train.py configs/segmentation/mms_vit_s_textseg.py \
#       --cfg-options train_dataloader.dataset.splits=[train,val]
_base_ = "./seg_pairs.py"

data_path = "data/TextSeg"

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextSegDataset",
        path=data_path,
        splits=("train",),
        pipeline=_base_.train_pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextSegDataset",
        path=data_path,
        splits=("val",),
        pipeline=_base_.val_pipeline,
    )
)

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.TextSegDataset",
        path=data_path,
        splits=("test",),
        pipeline=_base_.val_pipeline,
    )
)
