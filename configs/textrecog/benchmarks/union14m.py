# Union14M-Benchmark, in the folders of its release. As published, the mean is over seven sets;
# incomplete words are compared with the same words before they were cut (incomplete_ori).
_base_ = "../../_base_/datasets/rec_benchmark.py"

test_dataloader = dict(
    dataset=dict(
        root="data/union14m_l/Union14M-Benchmarks",
        sets=dict(
            curve=dict(title="Curve", path="curve", images=2426),
            multi_oriented=dict(title="Multi-Oriented", path="multi_oriented", images=1369),
            artistic=dict(title="Artistic", path="artistic", images=900),
            contextless=dict(title="Contextless", path="contextless", images=779),
            salient=dict(title="Salient", path="salient", images=1585),
            multi_words=dict(title="Multi-Words", path="multi_words", images=829),
            general=dict(title="General", path="general", images=400_000),
            incomplete=dict(title="Incomplete", path="incomplete", images=1495, in_average=False),
            incomplete_ori=dict(title="Before cutting", path="incomplete_ori", in_average=False),
        ),
    )
)
