# What every super-resolution run keeps: the best checkpoint by PSNR. Squared errors of values in [0, 1]
# need a digit more in the log.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="PSNR", rule="greater"))
log_processor = dict(num_digits=5)
