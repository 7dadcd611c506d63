# TextViT and an autoregressive decoder in MMOCR's recognizer. An auxiliary CTC head trains beside the
# decoder and improves the encoder; it is not used for reading.
# Classes: 94 letters, digits and symbols, start and end token, padding, and unknown.
dictionary = dict(
    type="mmocr.Dictionary",
    dict_file="{{ fileDirname }}/../../dicts/printable_ascii.txt",
    with_start=True,
    with_end=True,
    same_start_end=True,
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
        type="mms_ocr.TextDecoder",
        n_layers=6,
        n_head=8,
        d_model=384,
        d_embedding=384,
        d_k=48,
        d_v=48,
        d_inner=1536,
        dropout=0.1,
        max_seq_len=48,
        word_confidence=True,
        dictionary=dictionary,
        module_loss=dict(
            type="mmocr.CEModuleLoss", flatten=True, ignore_first_char=True, reduction="mean"
        ),
        postprocessor=dict(type="mmocr.AttentionPostprocessor"),
        auxiliary=dict(
            type="mms_ocr.CTCDecoder",
            pooling="conv",
            num_rows=8,
            module_loss=dict(type="mms_ocr.LocatedCTCLoss", letter_case="unchanged"),
        ),
    ),
)
