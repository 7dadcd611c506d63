# ABINet with its language model: the fusion needs the same width everywhere.
_base_ = ["mmocr::textrecog/abinet/_base_abinet.py", "./_swap_in.py"]

model = dict(
    backbone=dict(_delete_=True, type="mms_ocr.TextViT", arch="small", drop_path_rate=0.1),
    encoder=dict(d_model=384, d_inner=1536),
    decoder=dict(
        d_model=384,
        vision_decoder=dict(in_channels=384),
        language_decoder=dict(d_model=384, d_inner=1536),
        dictionary=dict(with_unknown=True),
    ),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
