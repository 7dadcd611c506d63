# Segmentation keeps the best checkpoint by foreground IoU, and draws masks.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="foreground/iou_dataset", rule="greater"))
custom_hooks = [
    dict(
        type="mms_ocr.ComparisonHook",
        fields=dict(prediction="pred_sem_seg", truth="gt_sem_seg"),
        num_images=16,
    )
]
