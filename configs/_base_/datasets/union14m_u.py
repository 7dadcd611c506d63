# Union14M-U (Jiang et al., ICCV 2023): 10.6 million unlabelled crops in three LMDBs, as released.
_base_ = "./words.py"

data_path = [
    "data/Union14M-U/book32_lmdb",
    "data/Union14M-U/cc_lmdb",
    "data/Union14M-U/openvino_lmdb",
]

train_dataloader = dict(dataset=dict(path=data_path, holdout=dict(share=0.001)))
val_dataloader = dict(dataset=dict(path=data_path, holdout=dict(share=0.001)))
test_dataloader = val_dataloader
