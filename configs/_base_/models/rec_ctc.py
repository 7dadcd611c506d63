# TextViT and a CTC head in MMOCR's recognizer.
# Classes: 94 letters, digits and symbols, padding (the blank of CTC), and unknown.
dictionary = dict(
    type="mmocr.Dictionary",
    dict_file="{{ fileDirname }}/../../dicts/printable_ascii.txt",
    with_padding=True,
    with_unknown=True,
)

model = dict(
    type="mmocr.EncoderDecoderRecognizer",
    data_preprocessor=dict(
        type="mmocr.TextRecogDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="mms_ocr.TextViT", arch="small", img_size=(32, 128), patch_size=4, drop_path_rate=0.1
    ),
    decoder=dict(
        type="mms_ocr.CTCDecoder",
        in_channels=384,
        pooling="conv",
        num_rows=8,
        word_confidence=True,
        dictionary=dictionary,
        module_loss=dict(type="mms_ocr.LocatedCTCLoss", letter_case="unchanged"),
        postprocessor=dict(type="mmocr.CTCPostProcessor"),
    ),
)
