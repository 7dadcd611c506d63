# The encoder: masked pretraining on real and rendered words, as many of each; 4,300 iterations are
# 550,400 views under the masks that were the default then.
_base_ = ["../../../configs/mms/pretrain_vit_n.py", "./data.py"]

model = dict(data_preprocessor=dict(mask_generator=dict(ratio=0.75)))
rendered = dict(
    type="mms_ocr.WordImageDataset", path=_base_.rendered_path, pipeline=_base_.train_pipeline
)
real_words = dict(
    type="mms_ocr.WordImageDataset",
    path=_base_.scene_words,
    holdout=dict(share=0.01, part="train"),
    pipeline=_base_.train_pipeline,
)
train_dataloader = dict(
    batch_size=128,
    **_base_.loader,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.MixedDataset",
        datasets=[rendered, real_words],
        weights=[1, 1],
    ),
)
val_dataloader = dict(
    batch_size=128,
    **_base_.held_out_loader,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=_base_.scene_words,
        holdout=dict(share=0.01, part="val"),
        indices=300,
        pipeline=_base_.val_pipeline,
    ),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(enable=False)
