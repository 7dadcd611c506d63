# Your own pairs of low and high resolution: LMDBs like TextZoom's, folders with hr/ and lr/, or JSON
# lines. Set the paths on the command line:
#   python tools/train.py configs/super_resolution/mms_vit_s_sr_pairs.py --data PATH [PATH ...]
# A fixed tenth of the pairs is held out for validation.
_base_ = "./sr_rendered.py"

data_path = "data/pairs"
share = 0.1
pipeline = [
    dict(type="mms_ocr.ResizeWordPair", size=(32, 128), scale=2),
    dict(type="mms_ocr.PackWordPair"),
]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordPairDataset",
        path=data_path,
        holdout=dict(share=share, part="train"),
        pipeline=pipeline,
    )
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordPairDataset",
        path=data_path,
        holdout=dict(share=share, part="val"),
        pipeline=pipeline,
    )
)

test_dataloader = val_dataloader
