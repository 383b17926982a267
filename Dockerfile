# confab in a container: docker build -t confab . && docker run --rm -it confab serve --demo
# The first run of 'serve' needs CONFAB_DOMAINS; everything that has to last is in /data.

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/confab ./cmd/confab \
    && mkdir -m 700 /out/data && mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
COPY --from=build --chown=10001:10001 /out/data /data
COPY --from=build /out/tmp /tmp
COPY --from=build /out/confab /confab
ENV CONFAB_DATA=/data ZONEINFO=/zoneinfo.zip
USER 10001:10001
VOLUME /data
EXPOSE 5222 5223
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/confab", "status"]
ENTRYPOINT ["/confab"]
CMD ["serve"]
