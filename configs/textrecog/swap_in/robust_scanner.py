# RobustScanner: values are as wide as the map, keys stay 128 wide.
_base_ = ["mmocr::textrecog/robust_scanner/_base_robustscanner_resnet31.py", "./_swap_in.py"]

model = dict(
    backbone=dict(_delete_=True, type="mms_ocr.TextViT", arch="small", drop_path_rate=0.1),
    encoder=dict(in_channels=384),
    decoder=dict(
        hybrid_decoder=dict(dim_input=384),
        position_decoder=dict(dim_input=384),
        in_channels=[384, 384],
    ),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
