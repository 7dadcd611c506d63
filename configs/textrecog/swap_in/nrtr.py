# NRTR: its encoder flattens the map; both are as wide as TextViT.
_base_ = ["mmocr::textrecog/nrtr/_base_nrtr_modality-transform.py", "./_swap_in.py"]

model = dict(
    backbone=dict(_delete_=True, type="mms_ocr.TextViT", arch="small", drop_path_rate=0.1),
    encoder=dict(d_model=384, d_k=48, d_v=48),
    decoder=dict(d_model=384, d_embedding=384, d_k=48, d_v=48),
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
)
