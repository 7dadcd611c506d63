# The six common test sets, with the larger parts of IC13 and IC15, as in MAERec's results.
#   python tools/test.py CONFIG CHECKPOINT --benchmark common [--benchmark-root DIR --sets iiit5k]
_base_ = "../../_base_/datasets/rec_benchmark.py"

test_dataloader = dict(
    dataset=dict(
        root="data/benchmarks/common",
        sets=dict(
            iiit5k=dict(title="IIIT5K", path="IIIT5K", images=3000, origin="IIIT 5K-word, test"),
            svt=dict(title="SVT", path="SVT", images=647, origin="Street View Text, test"),
            ic13=dict(title="IC13", path="IC13", images=1015, origin="ICDAR 2013 focused, test"),
            ic15=dict(title="IC15", path="IC15", images=2077, origin="ICDAR 2015 incidental, test"),
            svtp=dict(title="SVTP", path="SVTP", images=645, origin="SVT-Perspective"),
            cute80=dict(title="CUTE80", path="CUTE80", images=288, origin="CUTE80, word crops"),
        ),
    )
)
