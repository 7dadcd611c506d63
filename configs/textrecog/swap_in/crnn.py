# CRNN: one row of 32 columns, in color. Characters outside its dictionary become the unknown token.
_base_ = ["mmocr::textrecog/crnn/_base_crnn_mini-vgg.py", "./_swap_in.py"]

model = dict(
    backbone=dict(
        _delete_=True, type="mms_ocr.TextViT", arch="small", out_type="row", drop_path_rate=0.1
    ),
    decoder=dict(in_channels=384, dictionary=dict(with_unknown=True)),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
