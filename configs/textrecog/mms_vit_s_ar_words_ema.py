# Averaged weights; any other config takes them the same way.
_base_ = ["./mms_vit_s_ar_words.py", "../_base_/ema.py"]
