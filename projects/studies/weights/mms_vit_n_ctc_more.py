# The reader, trained further: with the unlabelled scene words that it reads with confidence, which
# pseudo_labels.py writes, beside the labelled and the rendered ones.
_base_ = "./mms_vit_n_ctc.py"

pseudo_labelled = dict(
    type="mms_ocr.WordImageDataset",
    path=[
        _base_.real + name + "/pseudo_labelled.jsonl"
        for name in ("mlt17_latin", "icdar2015_regions")
    ],
    labelled=True,
    pipeline=_base_.real_words.pipeline,
)
train_dataloader = dict(
    dataset=dict(datasets=[_base_.rendered, _base_.real_words, pseudo_labelled], weights=[2, 1, 1])
)
optim_wrapper = dict(optimizer=dict(lr=6e-4))

max_iters = 3_000  # 192,000 words
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=200),
    dict(
        type="CosineAnnealingLR",
        T_max=max_iters - 200,
        by_epoch=False,
        begin=200,
        end=max_iters,
    ),
]
train_cfg = dict(max_iters=max_iters)
