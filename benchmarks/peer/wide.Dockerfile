# The image of benchmarks/wide as a careful user would otherwise make it; see Dockerfile beside this file, which says
# how to call it. This service is one file and no package, so that nothing has to be built.

FROM python:3.13-slim AS build
ARG BYTECODE=1
ENV UV_COMPILE_BYTECODE=$BYTECODE \
    UV_FIND_LINKS=/wheels \
    UV_LINK_MODE=copy \
    UV_NO_INDEX=1 \
    UV_OFFLINE=1 \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/app/.venv
WORKDIR /app
RUN --network=none \
    --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,from=uv,source=uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv venv --quiet --python python3 "$VIRTUAL_ENV" \
    && uv export --quiet --frozen --no-dev --no-emit-project --output-file /tmp/requirements.txt \
    && uv pip install --require-hashes --requirement /tmp/requirements.txt

FROM python:3.13-slim
RUN --network=none groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --no-create-home --home-dir /app --shell /usr/sbin/nologin app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH
COPY --from=build /app/.venv /app/.venv
COPY report.py ./
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "report:app"]
