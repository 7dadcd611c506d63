# Labelled test sets, measured one by one; child configs list them.
test_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=False,
    pin_memory=True,
    drop_last=False,
    collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mms_ocr.BenchmarkDataset",
        pipeline=[
            dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bicubic"),
            dict(type="mms_ocr.PackLabelledWord"),
        ],
    ),
)
test_cfg = dict(type="TestLoop")
test_evaluator = dict(type="mms_ocr.WordBenchmark")
