# Union14M's MAERec-S: our encoder and decoder as its weights need them. The decoder attends to the
# class token as well, images stay BGR and are normalized as MAERec's fine-tuning did, and there are
# 91 characters, the space among them.
#   --cfg-options model.init_cfg.type=mms_ocr.PretrainedRecognizer \
#                 model.init_cfg.checkpoint=maerec_s_union14m.pth
_base_ = ["../../_base_/models/rec_vit_s_ar.py", "./_swap_in.py"]

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=False
    ),
    backbone=dict(out_type="tokens"),
    decoder=dict(
        auxiliary=None,  # the decoder is given tokens, and no map
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
