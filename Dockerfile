# mms_ocr with all that it needs to train and read, in the versions of requirements/lock/.
# docs/install.md has the commands.
ARG BASE=python:3.11-slim
FROM ${BASE}

# pip's index with the build of torch that is wanted; PyPI's is the CUDA build.
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    PATH=/opt/venv/bin:$PATH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Bases of CUDA have no Python. Versions are those of the base's distribution.
# hadolint ignore=DL3008
RUN if ! command -v python3; then \
        apt-get update; \
        apt-get install --yes --no-install-recommends python3 python3-venv; \
        rm -rf /var/lib/apt/lists/*; \
    fi; \
    useradd --create-home --uid 10001 words

WORKDIR /opt/mms_ocr
COPY . .
# Without a display, OpenCV's headless build does, and needs no libraries of X.
RUN sed --in-place 's/^opencv-python==/opencv-python-headless==/' requirements/lock/*.txt; \
    python3 requirements/make_env.py /opt/venv || { cat /opt/venv/install.log; exit 1; }

USER 10001
WORKDIR /work
ENTRYPOINT ["mms-ocr"]
CMD ["--help"]
