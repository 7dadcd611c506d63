# A linear probe: the encoder stays as it is, the CTC head alone learns.
_base_ = "./mms_vit_n_ctc_words.py"

model = dict(backbone=dict(frozen_stages=4), decoder=dict(pooling="attention"))
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.0), paramwise_cfg=dict(layer_decay_rate=1.0)
)
