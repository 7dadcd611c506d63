# What every recognition run keeps: the best checkpoint by word accuracy, letters and digits only.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="recog/word_acc_ignore_case_symbol", rule="greater"))
