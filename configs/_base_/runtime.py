default_scope = "mms_ocr"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="mms_ocr.AtomicCheckpointHook", by_epoch=False, interval=2000, max_keep_ckpts=3
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    # Protections against faults: docs/reliability.md.
    exact_resume=dict(type="mms_ocr.ExactResumeHook"),
    stop_on_signal=dict(type="mms_ocr.StopOnSignalHook"),
    non_finite=dict(type="mms_ocr.SkipNonFiniteHook", max_in_row=10),
    watchdog=dict(type="mms_ocr.WatchdogHook", timeout=1800),
)
log_processor = dict(
    type="LogProcessor",
    window_size=50,
    by_epoch=False,
    # Errors per strategy are averaged over the window as losses are, those of validations are not.
    mean_pattern=r"^(?!masked_error/).*(loss|error|time|grad_norm)",
)
log_level = "INFO"

visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # Longer than the watchdog's timeout: the watchdog writes the stacks of every rank.
    dist_cfg=dict(backend="nccl", timeout=3600),
)
randomness = dict(seed=0)

load_from = None
load_from_exclude = None  # parts of the model that load_from leaves out, such as ["decoder"]
resume = False
