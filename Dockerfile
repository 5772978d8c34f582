# One build, two images: `--target ingest` is the write side, `--target query`
# the read side. Each final image holds one static program and no shell.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src

# Modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/ ./cmd/ingest ./cmd/query

FROM gcr.io/distroless/static-debian12:nonroot AS ingest
COPY --from=build /out/ingest /ingest
EXPOSE 8080
ENTRYPOINT ["/ingest"]
CMD ["serve"]

FROM gcr.io/distroless/static-debian12:nonroot AS query
COPY --from=build /out/query /query
EXPOSE 8081
ENTRYPOINT ["/query"]
CMD ["serve"]
