# tutelage in an image; docs/stack.md says how it is used.
#
#   docker build .                  everything, with torch for processors (the target cpu)
#   docker build --target core .    without torch: the embedded Argilla and linear students
#   docker build --target cuda .    with torch for NVIDIA cards: torch brings the CUDA libraries, the machine needs
#                                   NVIDIA's driver and container toolkit
#
# Where no index of torch builds for processors can be reached, cpu cannot be built; cuda runs without a card too.
# A container installs nothing and writes to /task, /tmp and its volumes only, so its file system can be read-only.

ARG PYTHON=3.13-slim-trixie

FROM docker.io/library/python:${PYTHON} AS libraries
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/tutelage
ENV PATH=/opt/tutelage/bin:$PATH
# What pyproject.toml asks for, with an empty package in place of the code: a change of the code keeps this layer.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN mkdir -p tutelage/core && echo '__version__ = "0"' > tutelage/core/__init__.py
RUN pip install --constraint constraints.txt '.[serve]' && pip uninstall --yes tutelage

FROM libraries AS libraries-cpu
# uv knows where torch's builds for processors are; it stays out of the image.
RUN pip install --constraint constraints.txt --prefix /opt/uv uv
RUN PYTHONPATH=$(echo /opt/uv/lib/python3*/site-packages) python -m uv pip install --no-cache --torch-backend cpu \
      --constraint constraints.txt '.[train,fast]' && pip uninstall --yes tutelage

FROM libraries AS libraries-cuda
RUN pip install --constraint constraints.txt '.[train,fast]' && pip uninstall --yes tutelage

# The wheel, and the environment of the embedded Argilla, which `tutelage up` would otherwise make on its first call.
FROM libraries AS code
WORKDIR /code
ENV XDG_DATA_HOME=/var/lib
COPY pyproject.toml README.md LICENSE ./
COPY tutelage tutelage
COPY loaders loaders
COPY feedback feedback
COPY training training
RUN pip wheel --no-deps --wheel-dir /wheels . && pip install --no-deps /wheels/*.whl && rm -r tutelage
RUN python -c 'from tutelage.feedback.server.installation import server_python; print(server_python(print))' \
    && rm -f /var/lib/tutelage/*.log /var/lib/tutelage/*.lock

FROM docker.io/library/python:${PYTHON} AS runtime
RUN useradd --uid 1000 --create-home tutelage \
    && install -d -o tutelage -g tutelage -m 700 /var/lib/tutelage/argilla \
    && install -d -m 1777 /task /var/cache/huggingface
# Where it runs as a user without a name, LOGNAME gives one to libraries that ask.
ENV PATH=/opt/tutelage/bin:$PATH XDG_DATA_HOME=/var/lib HOME=/tmp LOGNAME=tutelage HF_HOME=/var/cache/huggingface \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE
COPY --from=code /var/lib/tutelage /var/lib/tutelage
WORKDIR /task
ENTRYPOINT ["tutelage"]
CMD ["--help"]

FROM runtime AS core
COPY --from=libraries /opt/tutelage /opt/tutelage
RUN --mount=type=bind,from=code,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
USER 1000:1000

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=libraries-cuda /opt/tutelage /opt/tutelage
RUN --mount=type=bind,from=code,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
USER 1000:1000

FROM runtime AS cpu
COPY --from=libraries-cpu /opt/tutelage /opt/tutelage
RUN --mount=type=bind,from=code,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
USER 1000:1000
