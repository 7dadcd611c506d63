# Super-resolution keeps the best checkpoint by PSNR, and draws restored images. Squared errors of values
# in [0, 1] need one more digit in the log.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="PSNR", rule="greater"))
custom_hooks = [
    dict(
        type="mms_ocr.ComparisonHook",
        fields=dict(bicubic="bicubic_img", restored="pred_img", truth="gt_img"),
        num_images=16,
    )
]
log_processor = dict(num_digits=5)
