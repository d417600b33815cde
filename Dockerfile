# syntax=docker/dockerfile:1
# guardedit with the embedded demo model and sentence encoder, for a CPU.
#
#   docker build -t guardedit .
#   docker run --rm guardedit --help
#   docker compose -f deploy/compose.yaml up --build
#
# The base is named by tag; pin it by digest (python:3.11-slim-bookworm@sha256:...) where builds must repeat.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/guardedit
WORKDIR /src
COPY constraints.txt ./
# PyPI's torch for Linux carries CUDA libraries of several GB. The CPU index has the same release as
# 2.13.0+cpu, which satisfies constraints.txt. For a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
# --no-deps, because that index has other versions of torch's dependencies than constraints.txt names;
# they come from PyPI in the next step.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN /opt/guardedit/bin/pip install --no-deps --index-url "${TORCH_INDEX}" --constraint constraints.txt torch==2.13.0
COPY pyproject.toml README.md LICENSE ./
COPY guardedit ./guardedit
RUN /opt/guardedit/bin/pip install --constraint constraints.txt ".[redis,serve]" \
 && /opt/guardedit/bin/pip check

FROM ${PYTHON}
# One number for user and group, so that volumes and Kubernetes' runAsNonRoot agree with the image.
RUN groupadd --gid 10001 guardedit \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/guardedit --shell /usr/sbin/nologin guardedit \
 && install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/guardedit
COPY --from=build /opt/guardedit /opt/guardedit
COPY policies /etc/guardedit/policies
# Offline: models and encoders come from the image or a mounted folder, never from a hub at run time.
ENV PATH=/opt/guardedit/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    HF_HOME=/var/lib/guardedit/huggingface \
    GUARDEDIT_HOME=/var/lib/guardedit \
    GUARDEDIT_POLICY=/etc/guardedit/policies/default.yaml
# No secret is baked in: GUARDEDIT_REDIS_URL, which may hold a password, is given when the container starts.
USER 10001:10001
WORKDIR /var/lib/guardedit
# A new named volume takes over this folder's owner; a bind mount must be writable for 10001.
VOLUME /var/lib/guardedit
EXPOSE 9108
ENTRYPOINT ["guardedit"]
CMD ["--help"]
