# ASTER: one row of 32 columns; its rectification outputs images of 32x128.
_base_ = ["mmocr::textrecog/aster/_base_aster.py", "./_swap_in.py"]

model = dict(
    preprocessor=dict(output_image_size=(32, 128)),
    backbone=dict(
        _delete_=True, type="mms_ocr.TextViT", arch="small", out_type="row", drop_path_rate=0.1
    ),
    encoder=dict(in_channels=384),
    decoder=dict(in_channels=384),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
