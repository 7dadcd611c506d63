# Exponential moving average of the weights, used in validation and checkpoints: `state_dict` of a
# checkpoint is the average, `ema_state_dict` the current weights. The average covers about the last
# tenth of the run so far, and at most 5,000 iterations.
custom_hooks = [dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=2e-4, gamma=10)]
