# One image for all processes of the hub: web, worker and commands, also with Celery. compose.yaml starts them, and
# docs/operations/install.md explains both.
ARG PYTHON=3.13.14-slim-trixie

FROM python:${PYTHON} AS packages
# requirements-celery.lock for an image whose workers run Celery: compose.celery.yaml.
ARG LOCK=requirements.lock
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt
COPY ${LOCK} .
RUN python -m venv hub && hub/bin/pip install --require-hashes --only-binary :all: -r "${LOCK}"

FROM python:${PYTHON}
# pg_dump and pg_restore, for `manage.py backup` and `restore`: of the server's version or newer. Not pinned to one build,
# which the next security update of Debian replaces.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=packages /opt/hub /opt/hub
WORKDIR /srv/hub
COPY . .
# The code belongs to root, so that no process of the hub can change it: they write to var and /tmp only. The files may
# have been created with a umask that keeps others from reading them.
RUN chmod -R a+rX . \
    && /opt/hub/bin/python -m compileall -q . \
    && install -d -o 10001 -g 10001 -m 700 var var/checkpoints
ENV PATH=/opt/hub/bin:$PATH PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2 HEARTBEAT_FILE=/tmp/heartbeat
USER 10001:10001
VOLUME /srv/hub/var
EXPOSE 8000
CMD ["gunicorn", "integration_hub.wsgi", "--worker-class", "integration_hub.web_server.worker.HubWorker", "--workers", "2", "--threads", "32", "--bind", "0.0.0.0:8000"]
