# SAR: its encoder and decoder take the width of the map.
_base_ = ["mmocr::textrecog/sar/_base_sar_resnet31_parallel-decoder.py", "./_swap_in.py"]

model = dict(
    backbone=dict(_delete_=True, type="mms_ocr.TextViT", arch="small", drop_path_rate=0.1),
    encoder=dict(d_model=384),
    decoder=dict(d_model=384),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
