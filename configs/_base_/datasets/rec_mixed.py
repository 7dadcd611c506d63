# Your own labelled words and as many rendered ones in every batch: for few labels. Rendered words have
# boxes of their characters, which mms_ocr.LocatedCTCLoss uses. Set the paths on the command line:
# --data PATH [PATH ...]. A fixed tenth of your words is held out for validation.
_base_ = "./rec_words.py"

rendered = dict(
    type="mms_ocr.RenderedWordDataset",
    num_samples=1_000_000,
    seed=0,
    extras=("char_boxes",),
    pipeline=_base_.pipeline,  # the renderer augments
)

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mms_ocr.MixedDataset",
        datasets=[rendered, _base_.train_dataloader.dataset],
        weights=[1, 1],
    )
)
