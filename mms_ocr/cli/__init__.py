"""The ``mms-ocr`` command and its sub-commands, one module each; training and testing."""
