# Union14M's MAERec-S: encoder and decoder as its weights need them. The decoder also attends to the
# class token, images stay BGR with MAERec's normalization, and there are 91 characters with the space.
#   --cfg-options model.init_cfg.type=mms_ocr.PretrainedRecognizer \
#                 model.init_cfg.checkpoint=maerec_s_union14m.pth
_base_ = ["../../_base_/models/rec_ar.py", "./_swap_in.py"]

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=False
    ),
    backbone=dict(out_type="tokens"),
    decoder=dict(
        auxiliary=None,  # CTC needs a map, and the decoder gets tokens
        dictionary=dict(dict_file="{{ fileDirname }}/../../dicts/maerec.txt"),
    ),
)

pipeline = [
    dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bilinear"),
    dict(type="mms_ocr.PackLabelledWord"),
]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
