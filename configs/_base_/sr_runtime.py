# What every super-resolution run keeps: the best checkpoint by PSNR.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="PSNR", rule="greater"))
