# syntax=docker/dockerfile:1
# The executor fleet.
#
#   docker build -f deploy/docker/executor.Dockerfile -t leasehold-executor .
#
# This image has no programs: for jobs with `command`, take another RUNTIME or build FROM this image.

# What the binary runs on: glibc, CA certificates and a user without privileges; no shell. RUNTIME replaces it.
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

# The same stage, word for word, as in scheduler.Dockerfile: both images come from one build.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=leasehold-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=leasehold-target,target=/src/target,sharing=locked \
    deploy/build --out /out

FROM ${RUNTIME}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="leasehold-executor" \
      org.opencontainers.image.description="Leasehold's executor fleet" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/leasehold-executor /usr/local/bin/
# A number, so that Kubernetes can tell that it is not root. The executor itself writes nothing to the file system.
USER 65532:65532
# Reachable from outside the container, for probes and for Prometheus. It tells no secrets and changes nothing.
ENV LEASEHOLD_OPS_LISTEN=0.0.0.0:7072
EXPOSE 7072
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/leasehold-executor", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/leasehold-executor"]
