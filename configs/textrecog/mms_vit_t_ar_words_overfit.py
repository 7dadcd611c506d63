# Can it learn? Trained on the first 64 words and measured on the same: all should be read soon.
_base_ = "./mms_vit_t_ar_words.py"

max_iters = 400
num_words = 64

model = dict(backbone=dict(drop_path_rate=0.0), decoder=dict(dropout=0.0, auxiliary=None))

train_dataloader = dict(
    batch_size=num_words,
    dataset=dict(holdout=None, indices=num_words, pipeline=_base_.pipeline),
)
val_dataloader = dict(dataset=dict(holdout=None, indices=num_words))
test_dataloader = val_dataloader

optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.0), paramwise_cfg=dict(layer_decay_rate=1.0)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=max_iters // 10),
    dict(
        type="CosineAnnealingLR",
        T_max=max_iters - max_iters // 10,
        by_epoch=False,
        begin=max_iters // 10,
        end=max_iters,
    ),
]
train_cfg = dict(max_iters=max_iters, val_interval=50)
default_hooks = dict(checkpoint=dict(interval=max_iters))
