# syntax=docker/dockerfile:1
# The scheduler fleet, and the operator's `leasehold` command of the same version.
#
#   docker build -f deploy/docker/scheduler.Dockerfile -t leasehold-scheduler .

# What the binaries run on: glibc, CA certificates and a user without privileges; no shell. RUNTIME replaces it.
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

# The same stage, word for word, as in executor.Dockerfile: both images come from one build.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=leasehold-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=leasehold-target,target=/src/target,sharing=locked \
    deploy/build --out /out

FROM ${RUNTIME}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="leasehold-scheduler" \
      org.opencontainers.image.description="Leasehold's scheduler fleet, with the operator's command" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/leasehold /out/leasehold-scheduler /usr/local/bin/
# A number, so that Kubernetes can tell that it is not root. Nothing is written to the file system.
USER 65532:65532
# Reachable from outside the container, for probes and for Prometheus. It tells no secrets and changes nothing.
ENV LEASEHOLD_OPS_LISTEN=0.0.0.0:7071
EXPOSE 7071
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/leasehold-scheduler", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/leasehold-scheduler"]
