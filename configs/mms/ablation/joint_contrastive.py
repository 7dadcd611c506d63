# All three strategies, and a contrastive loss that pulls the views of one image together.
_base_ = "./joint.py"

model = dict(contrast=dict(type="mms_ocr.ViewContrast", temperature=0.2, weight=0.1))
