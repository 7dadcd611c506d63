# SVTR's rectification and decoder: TextViT replaces SVTR's encoder, and MMOCR's 1x1 convolution maps one
# row of 32 columns to the width of the decoder.
_base_ = ["mmocr::textrecog/svtr/_base_svtr-tiny.py", "./_swap_in.py"]

model = dict(
    preprocessor=dict(output_image_size=(32, 128)),
    backbone=dict(type="mms_ocr.TextViT", arch="small", out_type="row", drop_path_rate=0.1),
    encoder=dict(_delete_=True, type="ChannelReductionEncoder", in_channels=384, out_channels=192),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
