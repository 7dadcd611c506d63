# TextViT and the pixel decoder, for text and background. Strokes of long words are thinner than a pixel
# at 32x128: every patch of 4x4 pixels gets 8x8 values, so masks have twice the resolution of the input.
model = dict(
    type="mms_ocr.TextSegmentor",
    data_preprocessor=dict(
        type="ImgDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        non_blocking=True,
    ),
    backbone=dict(
        type="mms_ocr.TextViT", arch="small", img_size=(32, 128), patch_size=4, drop_path_rate=0.1
    ),
    decoder=dict(
        type="mms_ocr.PixelDecoder",
        patch_size=8,
        decoder_embed_dim=384,
        decoder_depth=3,
        decoder_num_heads=2,
    ),
    losses=[dict(type="mms_ocr.MaskCrossEntropy"), dict(type="mms_ocr.MaskDice")],
)
