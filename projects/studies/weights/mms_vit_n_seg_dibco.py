# For tools/test.py: the segmentor on the words of documents that it was not trained on.
_base_ = ["../../../configs/segmentation/mms_vit_n_seg_rendered.py", "./data.py"]

test_dataloader = dict(
    batch_size=64,
    **_base_.held_out_loader,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordMaskDataset",
        path=_base_.real + "dibco/test.jsonl",
        pipeline=_base_.val_pipeline,
    ),
)
