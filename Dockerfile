# A member's daemon. docker build -t fedsm . ; docker run fedsm --id 1 ...
ARG DEBIAN=debian:12.11-slim

FROM ${DEBIAN} AS build
# Debian keeps only the newest version of a package in a release: a pinned one would soon not build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/fedsm
WORKDIR /src
COPY constraints.txt pyproject.toml setup.cfg README.md LICENSE ./
COPY states states
COPY signers signers
COPY transports transports
COPY fedsm fedsm
RUN /opt/fedsm/bin/pip install --no-cache-dir --constraint constraints.txt . \
    && /opt/fedsm/bin/pip uninstall --yes pip setuptools

FROM ${DEBIAN}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/fedsm --create-home fedsm
COPY --from=build /opt/fedsm /opt/fedsm
COPY docker/entrypoint.sh /usr/local/bin/fedsm-entrypoint
COPY docker/healthy.py /usr/local/bin/fedsm-healthy
ENV PATH=/opt/fedsm/bin:$PATH \
    FEDSM_DATADIR=/var/lib/fedsm \
    FEDSM_HTTP=127.0.0.1:7150
USER 10001
WORKDIR /var/lib/fedsm
VOLUME /var/lib/fedsm
HEALTHCHECK --interval=15s --timeout=10s --start-period=10s CMD ["fedsm-healthy"]
ENTRYPOINT ["fedsm-entrypoint"]
