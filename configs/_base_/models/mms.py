# Masked pretraining with random patch, blockwise and span masks together.
grid = (8, 32)  # (32, 128) pixels in patches of 4

model = dict(
    type="mms_ocr.MMS",
    data_preprocessor=dict(
        type="mms_ocr.MaskedTextDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        mask_generator=dict(
            type="mms_ocr.MultiMask",
            mode="mixed",
            ratio=[0.75, 0.6, 0.6],  # of the patches each strategy removes
            grid=grid,
            strategies=[
                dict(type="mms_ocr.RandomPatchMask"),
                dict(type="mms_ocr.BlockwiseMask"),
                dict(type="mms_ocr.SpanMask"),
            ],
            weights=[1, 1, 1],
        ),
    ),
    backbone=dict(type="mms_ocr.TextViT", arch="small", img_size=(32, 128), patch_size=4),
    neck=dict(
        type="mms_ocr.CrossAttentionDecoder",
        decoder_embed_dim=256,
        decoder_depth=4,
        decoder_num_heads=8,
        predict_share=0.5,
    ),
    head=dict(type="mms_ocr.MaskedPixelHead", norm_pix=True, criterion="L2"),
    init_cfg=[
        dict(type="Xavier", layer="Linear", distribution="uniform"),
        dict(type="Constant", layer="LayerNorm", val=1.0, bias=0.0),
    ],
)
