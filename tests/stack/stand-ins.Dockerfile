# Stand-ins for the four foreign images of docker-compose.yml, where these cannot be had; see stand-ins.yml.

ARG DEBIAN=trixie-slim
ARG PYTHON=3.13-slim-trixie

FROM docker.io/library/debian:${DEBIAN} AS postgres
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql /run/postgresql \
    && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data \
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
ENV PGDATA=/var/lib/postgresql/data
COPY postgres.sh /usr/local/bin/
ENTRYPOINT ["sh", "/usr/local/bin/postgres.sh"]
CMD ["postgres", "-c", "listen_addresses=*"]

FROM docker.io/library/debian:${DEBIAN} AS redis
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* && install -d -o redis -g redis /data

FROM docker.io/library/python:${PYTHON} AS elasticsearch
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 elasticsearch && install -d -o 1000 -g 1000 /usr/share/elasticsearch/data
COPY --chmod=755 elasticsearch.py /usr/local/bin/docker-entrypoint.sh
USER 1000:1000

FROM docker.io/library/python:${PYTHON} AS argilla
RUN useradd --create-home argilla && install -d -o argilla -g argilla /var/lib/argilla && python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH ARGILLA_HOME_PATH=/var/lib/argilla UVICORN_PORT=6900
RUN pip install --no-cache-dir argilla-server==2.8.0 asyncpg==0.30.0 psycopg2-binary==2.9.11 \
    click==8.1.8 uvicorn==0.32.1 bcrypt==4.2.1
COPY embedded /opt/embedded
COPY sitecustomize.py /opt/stand-in/
COPY start_argilla_server.sh /home/argilla/
ENV PYTHONPATH=/opt/stand-in PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/argilla
USER 1000:1000
CMD ["/bin/bash", "start_argilla_server.sh"]
