# The six common test sets, with the smaller parts of IC13 (857) and IC15 (1,811).
_base_ = "./common.py"

test_dataloader = dict(
    dataset=dict(
        sets=dict(
            ic13=dict(title="IC13 (857)", path="IC13_857", images=857),
            ic15=dict(title="IC15 (1811)", path="IC15_1811", images=1811),
        )
    )
)
