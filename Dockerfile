# One image for every process; docker-compose.yml says which one a container is. A product of your own begins
# with the engine alone (docs/your-own-repository.md): docker build --target engine --tag jobyard-engine:0.1.0 .
FROM python:3.13.9-slim-bookworm AS dependencies
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# First what names the dependencies: they are installed again when these change, and not with every line of code.
COPY pyproject.toml constraints.txt README.md ./
RUN mkdir jobyard && touch jobyard/__init__.py && pip install --constraint constraints.txt '.[all]'
COPY jobyard jobyard
RUN pip install --no-deps --force-reinstall .

FROM python:3.13.9-slim-bookworm AS engine
# /data belongs to the user before it becomes a volume, so that a new volume does as well.
RUN useradd --system --user-group --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin jobyard \
    && install --directory --owner jobyard --mode 0750 /data
# PYTHONPATH: `celery` and `jobyard` are scripts in /venv/bin, and the application lies in /app.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 JOBYARD_HOME=/data
WORKDIR /app
COPY --from=dependencies /venv /venv
USER jobyard
VOLUME /data
EXPOSE 8000
CMD ["jobyard", "api"]

# This repository's application: mail, pictures and pages. The code stays root's: what runs cannot change it.
FROM engine
USER root
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['tasks'], sep='\n')" > /tmp/tasks.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement /tmp/tasks.txt && rm /tmp/tasks.txt
COPY api api
COPY beat beat
COPY config config
COPY tasks tasks
COPY templates templates
USER jobyard
