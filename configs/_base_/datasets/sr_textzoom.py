# TextZoom (Wang et al., ECCV 2020) as released: two LMDBs to train, and easy, medium and hard ones to
# test, each measured by itself and all together. A fixed twentieth of the training pairs is held out
# for validation, so that no checkpoint is chosen by what it is tested on.
_base_ = "./sr_pairs.py"

train_path = ["data/TextZoom/train1", "data/TextZoom/train2"]

train_dataloader = dict(dataset=dict(path=train_path, holdout=dict(share=0.05)))
val_dataloader = dict(dataset=dict(path=train_path, holdout=dict(share=0.05)))

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordPairDataset",
        path=["data/TextZoom/test/easy", "data/TextZoom/test/medium", "data/TextZoom/test/hard"],
        subsets=["easy", "medium", "hard"],
        labelled=True,
        pipeline=_base_.pipeline,
    )
)
