# Your own labelled words: LMDBs or JSON lines. Set the paths on the command line:
#   python tools/train.py configs/textrecog/mms_vit_s_ar_words.py --data PATH [PATH ...]
# A fixed tenth of the words is held out for validation.
_base_ = "./rec_rendered.py"

# MAERec's augmentation, after the resize to 32x128: half of the words are rotated, sheared or tilted.
# A quarter loses resolution; half of these gets noise, the other half motion blur. A quarter changes
# color.
augmentation = [
    dict(type="mms_ocr.WarpWord", prob=0.5, degrees=15, shear=45, min_scale=0.5, distortion=0.5),
    dict(type="mms_ocr.BlurWord", prob=0.25, min_scale=0.25, noise=4.5, motion=7),
    dict(
        type="RandomApply",
        prob=0.25,
        transforms=dict(
            type="mmocr.TorchVisionWrapper",
            op="ColorJitter",
            brightness=0.5,
            contrast=0.5,
            saturation=0.5,
            hue=0.1,
        ),
    ),
]
pipeline = _base_.pipeline
train_pipeline = [pipeline[0], *augmentation, pipeline[1]]
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
