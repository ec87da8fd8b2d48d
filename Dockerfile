# One image for Flink's processes and for Tidegauge's own: official Flink, Debian 12, Python 3.11, the locked packages.
FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /build
COPY pom.xml .
RUN mvn --quiet --batch-mode -P flink package

FROM flink:2.3.0-scala_2.12-java17 AS flink

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless gettext-base build-essential \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 9999 flink \
    && useradd --system --home-dir /opt/flink --uid 9999 --gid flink flink
COPY --from=flink --chown=flink:flink /opt/flink /opt/flink
COPY --from=flink /docker-entrypoint.sh /docker-entrypoint.sh
COPY --from=jars /build/.jars/flink/*.jar /opt/flink/lib/
# In thread mode flink-python must be in the cluster's lib, see stack/jars.py.
RUN cp /opt/flink/opt/flink-python-*.jar /opt/flink/lib/ && mkdir -p /data/flink && chown -R flink:flink /data

WORKDIR /opt/tidegauge
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
COPY --chown=flink:flink flink-conf/config.yaml /opt/flink/conf/config.yaml
RUN pip install --no-cache-dir --no-build-isolation --no-deps -e .

ENV FLINK_HOME=/opt/flink FLINK_CONF_DIR=/opt/flink/conf PYTHONPATH=/opt/tidegauge PYTHONUNBUFFERED=1 \
    PATH=/opt/flink/bin:/usr/local/bin:/usr/bin:/bin
USER flink
ENTRYPOINT ["/docker-entrypoint.sh"]
