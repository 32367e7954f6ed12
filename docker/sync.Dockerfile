# slipway sync and the commands for what is published: the library alone, no TensorFlow, no Airflow.
#   docker build --tag slipway --file docker/sync.Dockerfile .
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# Volumes take the owner of the folders that they are mounted on.
RUN useradd --uid 50001 --create-home slipway \
    && install --directory --owner=slipway /models /published

WORKDIR /opt/slipway
COPY requirements.txt pyproject.toml README.md ./
COPY include include
# The versions that Slipway is tested with, of what is needed here.
RUN pip install --no-cache-dir --constraint requirements.txt '.[gcs,profiles]'

USER 50001
