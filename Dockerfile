# One image for every process of the yard; docker-compose.yml says which one a container is.
FROM python:3.13.9-slim-bookworm AS dependencies
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# Only what names the dependencies: they are installed again when these change, and not with every line of code.
COPY pyproject.toml constraints.txt ./
RUN pip install --constraint constraints.txt .

FROM python:3.13.9-slim-bookworm
# /data belongs to the user before it becomes a volume, so that a new volume does as well.
RUN useradd --system --user-group --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin jobyard \
    && install --directory --owner jobyard --mode 0750 /data
# PYTHONPATH: `celery` is a script in /venv/bin, and looks for modules beside itself only.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 JOBYARD_HOME=/data
WORKDIR /app
COPY --from=dependencies /venv /venv
# The code stays root's: what runs cannot change it. A task module of your own in this folder comes along.
COPY . .
USER jobyard
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "api"]
