# MASTER: its decoder needs one position for each place of the 8x32 map.
_base_ = ["mmocr::textrecog/master/_base_master_resnet31.py", "./_swap_in.py"]

model = dict(
    backbone=dict(_delete_=True, type="mms_ocr.TextViT", arch="small", drop_path_rate=0.1),
    decoder=dict(d_model=384, d_inner=1536, feat_size=8 * 32),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
