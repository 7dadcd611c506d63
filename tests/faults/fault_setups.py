"""Code that injects faults: executed before training, see fault_runs.Zygote.start."""

LOSS = """
from mmengine.logging import MessageHub
from mms_ocr.models import MMS
_loss = MMS.loss
def loss(self, *args, **kwargs):
    losses = _loss(self, *args, **kwargs)
    if MessageHub.get_current_instance().get_info("iter") in {iterations}:
        losses["loss_pixel"] = losses["loss_pixel"] {change}
    return losses
MMS.loss = loss
"""
PRINT_WEIGHTS = """
import hashlib
from mms_ocr.engine.loops import ResumableTrainLoop
_run = ResumableTrainLoop.run
def run(self):
    model = _run(self)
    digest = hashlib.md5()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    print("weights", digest.hexdigest(), flush=True)
    return model
ResumableTrainLoop.run = run
"""
HANG_TRAINING = """
import time
from mmengine.logging import MessageHub
from mms_ocr.models import MMS
_loss = MMS.loss
def loss(self, *args, **kwargs):
    if MessageHub.get_current_instance().get_info("iter") == 7:
        time.sleep(1000)
    return _loss(self, *args, **kwargs)
MMS.loss = loss
"""
HANG_READING = """
import time
from mms_ocr.engine.loops import ResumableTrainLoop
_next = ResumableTrainLoop._next_batch
def next_batch(self):
    if self._iter == 7:
        time.sleep(1000)
    return _next(self)
ResumableTrainLoop._next_batch = next_batch
"""
SMALL_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""
NO_SPACE = """
import errno, os
from mms_ocr.utils import files
def failing(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
files.os.{name} = failing
"""
