# The segmentor: from the encoder, on rendered words with exact masks and on words of documents. FONTS
# names a folder of fonts, a variable of the environment like those of data.py.
_base_ = ["../../../configs/segmentation/mms_vit_n_seg_rendered.py", "./data.py"]

fonts = "{{$FONTS:data/fonts}}"
rendered_words = dict(
    type="mms_ocr.RenderedWordDataset",
    num_samples=1_000_000,
    seed=0,
    fonts=fonts,
    font_part="train",
    extras=("mask",),
    pipeline=_base_.train_pipeline,
)
document_words = dict(
    type="mms_ocr.WordMaskDataset",
    path=_base_.real + "dibco/train.jsonl",
    pipeline=[dict(type="mms_ocr.WarpWordMask", prob=0.5), *_base_.train_pipeline],
)
train_dataloader = dict(
    batch_size=64,
    **_base_.loader,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.MixedDataset",
        datasets=[rendered_words, document_words],
        weights=[9, 1],
    ),
)
val_dataloader = dict(
    batch_size=64, **_base_.held_out_loader, dataset=dict(fonts=fonts, num_samples=512)
)
test_dataloader = dict(
    batch_size=64, **_base_.held_out_loader, dataset=dict(fonts=fonts, num_samples=2048)
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
