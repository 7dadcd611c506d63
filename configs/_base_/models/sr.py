# Super-resolution: the image of 16x64 is enlarged to 32x128 by bicubic interpolation; TextViT and the
# pixel decoder predict what is added to it.
model = dict(
    type="mms_ocr.TextSuperResolver",
    data_preprocessor=dict(
        type="mms_ocr.WordPairDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
    ),
    backbone=dict(type="mms_ocr.TextViT", arch="small", img_size=(32, 128), patch_size=4),
    decoder=dict(
        type="mms_ocr.PixelDecoder", decoder_embed_dim=384, decoder_depth=3, decoder_num_heads=2
    ),
    residual=True,
    criterion="L2",
)
