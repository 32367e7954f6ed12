# Airflow, every step and the model server in one image: the versions of requirements.txt.
FROM python:3.11.14-slim-bookworm

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# Volumes take the owner of the folders that they are mounted on.
RUN useradd --uid 50000 --create-home airflow \
    && install --directory --owner=airflow \
        /opt/airflow /opt/slipway /workspace /serving /published

WORKDIR /opt/slipway

# The pinned files name every package, so nothing is left to be resolved.
COPY requirements.txt ./
COPY docker/requirements.txt docker/
RUN pip install --no-cache-dir --no-deps -r requirements.txt -r docker/requirements.txt

COPY pyproject.toml README.md ./
COPY include include
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

COPY dags dags
COPY plugins plugins
COPY docker docker

USER 50000
