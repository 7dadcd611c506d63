# Averaged weights, which validation, checkpoints and with them tools/test.py use: `state_dict` of a
# checkpoint is the average, `ema_state_dict` the weights that it is made of. The average reaches
# back over the last tenth of the run so far, and over 5,000 iterations at most.
custom_hooks = [dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=2e-4, gamma=10)]
