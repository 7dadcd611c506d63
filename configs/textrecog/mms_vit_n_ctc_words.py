_base_ = "./mms_vit_s_ctc_words.py"

model = dict(
    backbone=dict(arch="nano", patch_size=(8, 4), stem="conv", drop_path_rate=0.0),
    decoder=dict(in_channels=128, num_rows=4),
)
