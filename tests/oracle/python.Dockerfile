# What BuildKit and uv make of a Python service's wheels: the image that cdaf's is held against, file by file.
# The wheels and the program uv come by named contexts; nothing needs a network. tests/test_oracle.py adds the lines
# that every service has of its own: its files, environment, port and command.

FROM $base AS environment
ENV UV_COMPILE_BYTECODE=$bytecode \
    UV_LINK_MODE=copy \
    UV_OFFLINE=1 \
    UV_PYTHON_DOWNLOADS=never
RUN --network=none \
    --mount=type=bind,from=uv,target=/mnt/uv \
    --mount=type=bind,from=wheels,target=/mnt/wheels \
    /mnt/uv/uv venv --quiet --no-cache --python python3 /app/.venv \
    && VIRTUAL_ENV=/app/.venv /mnt/uv/uv pip install --quiet --no-cache --no-index --no-deps /mnt/wheels/*.whl

FROM $base
COPY --from=environment /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$$PATH PYTHONUNBUFFERED=1 VIRTUAL_ENV=/app/.venv
