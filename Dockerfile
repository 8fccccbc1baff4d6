# The binary `tallow` in a small image that does not run as root.
#
#     docker build -t tallow .
#     docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" tallow train --out runs/first
#     docker run --rm -v "$PWD/runs:/work/runs:ro" -p 8000:8000 tallow serve runs/first --addr 0.0.0.0:8000

FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release -p tallow-cli --bin tallow \
    && cp target/release/tallow /tallow

FROM debian:bookworm-slim
RUN useradd --uid 10001 --create-home tallow \
    && mkdir /work \
    && chown tallow /work
COPY --from=build /tallow /usr/local/bin/tallow
COPY LICENSE-MIT LICENSE-APACHE /usr/local/share/doc/tallow/
USER tallow
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["tallow"]
CMD ["--help"]
