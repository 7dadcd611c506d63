# mms_ocr with everything that trains and reads, in the versions of requirements/lock/.
#   docker build -t mms_ocr .
#   docker run --rm -v "$PWD":/work mms_ocr read crops/
# For GPUs, a base with Python 3.10 to 3.13 on which PyPI's torch, a CUDA build, finds a driver:
#   docker build --build-arg BASE=nvidia/cuda:13.0.2-runtime-ubuntu24.04 -t mms_ocr:cuda .
#   docker run --rm --gpus all --ipc=host -v "$PWD":/work mms_ocr:cuda doctor
ARG BASE=python:3.11-slim
FROM ${BASE}
