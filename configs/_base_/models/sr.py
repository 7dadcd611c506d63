# Super-resolution: 16×64 enlarged to 32×128, TextViT and the pixel decoder, whose output is added to
# the enlarged image; children name the encoder.
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
