# Labelled words of your own: LMDBs or JSON lines. Set the paths on the command line:
#   python tools/train.py configs/textrecog/mms_vit_s_ar_words.py --data PATH [PATH ...]
# A fixed tenth of the words is held out for validation.
_base_ = ["./rec_rendered.py", "./rec_augmentation.py"]

pipeline = _base_.pipeline
train_pipeline = [pipeline[0], *_base_.augmentation, pipeline[1]]
data_path = "data/words.jsonl"
share = 0.1

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        labelled=True,
        holdout=dict(share=share, part="train"),
        pipeline=train_pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path=data_path,
        labelled=True,
        holdout=dict(share=share, part="val"),
        pipeline=pipeline,
    )
)

test_dataloader = val_dataloader
