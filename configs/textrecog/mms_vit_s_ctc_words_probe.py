# A linear probe: the encoder is frozen, only the CTC head trains. The nano encoder has 4 layers to
# freeze, the others 12.
_base_ = "./mms_vit_s_ctc_words.py"

model = dict(backbone=dict(frozen_stages=12), decoder=dict(pooling="attention"))
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.0), paramwise_cfg=dict(layer_decay_rate=1.0)
)
