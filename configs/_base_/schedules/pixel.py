# Segmentation and super-resolution: AdamW and learning rate of SSM, warm-up for a tenth of the run, then
# half a cosine. `tools/train.py --iterations N` or `--epochs N` sets the length and scales the schedule.
max_iters = 20_000

optim_wrapper = dict(
    type="mms_ocr.Bf16OptimWrapper",
    # One group for all parameters of equal settings; MMEngine makes one group per parameter.
    constructor="mms_ocr.LayerDecayOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={"cls_token": dict(decay_mult=0.0)}
    ),
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

train_cfg = dict(type="mms_ocr.ResumableTrainLoop", max_iters=max_iters, val_interval=2000)
