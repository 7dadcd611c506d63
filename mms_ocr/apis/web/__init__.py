"""The web page of ``mms-ocr web``: the bundled models on images that the browser sends.

Only ``page`` and ``serving`` import Gradio. Images travel inside the page's events, as base64, and
are held in memory: nothing writes them to a file.
"""
