# Recognition keeps the best checkpoint by word accuracy of letters and digits, ignoring case.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="recog/word_acc_ignore_case_symbol", rule="greater"))
