# Union14M-L, four million labelled words of real scenes (Jiang et al., ICCV 2023), as JSON lines;
# docs/reading.md has the command that writes them. A fixed 0.2% is held out for validation. Words that
# a CTC head of 32 columns cannot spell are skipped and counted.
_base_ = "./rec_words.py"

data_path = "data/union14m_l/train.jsonl"
share = 0.002
train_pipeline = [dict(type="mms_ocr.SkipLongLabels", max_columns=32), *_base_.train_pipeline]

train_dataloader = dict(
    dataset=dict(path=data_path, holdout=dict(share=share), pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(path=data_path, holdout=dict(share=share)))
test_dataloader = val_dataloader
