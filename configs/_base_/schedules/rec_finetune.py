# DiG's fine-tuning: AdamW 1e-4, weight decay .05 except on norms, biases and the class token, layer
# decay .75; warm-up for a tenth of the run, then half a cosine. Without a pretrained encoder every layer
# trains at the full rate. `tools/train.py --iterations N` or `--epochs N` sets the length and scales
# the schedule.
max_iters = 40_000

optim_wrapper = dict(
    type="mms_ocr.Bf16OptimWrapper",
    constructor="mms_ocr.LayerDecayOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        pretrained_only=True,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={"cls_token": dict(decay_mult=0.0)},
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
