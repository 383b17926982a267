# docker build -t confab .
# docker run -d --name confab -v confab:/data -p 5222:5222 -p 5223:5223 -p 5443:5443 -e CONFAB_DOMAINS=example.com confab

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /confab ./cmd/confab && mkdir -m 700 /data

FROM scratch
COPY --from=build /confab /confab
COPY --from=build --chown=10001:10001 /data /data
ENV CONFAB_DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 5222 5223 5443
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/confab", "status"]
ENTRYPOINT ["/confab"]
CMD ["serve"]
