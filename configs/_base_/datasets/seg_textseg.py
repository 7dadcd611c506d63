# Word crops of TextSeg as released. The train split is for training, val selects the best checkpoint,
# and tools/test.py uses test.
# Published numbers use train and val together and the last checkpoint:
#   python tools/train.py configs/segmentation/mms_vit_s_seg_textseg.py \
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
