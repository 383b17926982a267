#!/bin/bash
# confab as a server to be measured: confab.sh up|down RUN_DIR
#
# `up` builds the program from this checkout, makes a CA and a certificate, imports the accounts, starts
# the server and writes RUN_DIR/env; all data lives under RUN_DIR. From the environment:
#   DOMAIN BIND C2S_PORT C2S_TLS_PORT USERS ITERATIONS
#   DOMAIN_ROSTER=on|off    everybody in everybody's roster (roster.domain all or off)
#   CONFAB_BINARY           a program to start in place of building one
# SCRAM_HASH does not matter, as credentials are kept for every hash; nor does MAM, as history cannot be
# turned off: with MAM=off the server does more than was asked.
set -euo pipefail
: "${DOMAIN:=example.test}"
: "${BIND:=127.0.0.1}"
: "${C2S_PORT:=15222}"
: "${C2S_TLS_PORT:=15223}"
: "${USERS:=20}"
: "${ITERATIONS:=4096}"
: "${SCRAM_HASH:=SHA-1}"
: "${DOMAIN_ROSTER:=off}"
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

certificates() { # DIR: a private CA and a certificate for DOMAIN
    mkdir -p "$1"
    (
        cd "$1"
        openssl ecparam -name prime256v1 -genkey -noout -out ca.key
        openssl req -x509 -new -key ca.key -days 3650 -subj "/CN=bench CA" -addext basicConstraints=critical,CA:TRUE \
            -addext keyUsage=critical,keyCertSign,cRLSign -out ca.crt
        openssl ecparam -name prime256v1 -genkey -noout -out server.key
        openssl req -new -key server.key -subj "/CN=$DOMAIN" -out server.csr
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
            -extfile <(printf '%s\n' "subjectAltName=DNS:$DOMAIN,IP:$BIND" basicConstraints=CA:FALSE \
                keyUsage=digitalSignature extendedKeyUsage=serverAuth) -out leaf.crt
        cat leaf.crt ca.crt >server.crt
    ) >"$1/openssl.log" 2>&1 || die "certificates: see $1/openssl.log"
}

up() {
    local run=$1 confab pid i roster=off
    [ -e "$run/server.pid" ] && die "already up in $run"
    mkdir -p "$run"
    run=$(cd "$run" && pwd)
    confab=${CONFAB_BINARY:-$run/confab}
    [ -x "$confab" ] || (cd "$checkout" && go build -o "$confab" ./cmd/confab)
    certificates "$run/certs"
    [ "$DOMAIN_ROSTER" = off ] || roster=all
    ulimit -n "$(ulimit -Hn)" || true
    export CONFAB_DATA=$run/data CONFAB_DOMAINS=$DOMAIN CONFAB_ROSTER_DOMAIN=$roster CONFAB_AUTH_ITERATIONS=$ITERATIONS \
        CONFAB_TLS_CERTIFICATE=$run/certs/server.crt CONFAB_TLS_KEY=$run/certs/server.key \
        CONFAB_ROOMS_CREATE=users CONFAB_LISTEN_STARTTLS=$BIND:$C2S_PORT CONFAB_LISTEN_TLS=$BIND:$C2S_TLS_PORT CONFAB_LISTEN_HTTPS=off \
        CONFAB_LIMITS_STANZA_RATE=1000000 CONFAB_LIMITS_BYTE_RATE=1GiB # the others have no such limits by default
    setsid "$confab" serve >"$run/server.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$run/server.pid"
    for ((i = 0; i < 200; i++)); do
        (exec 3<>"/dev/tcp/$BIND/$C2S_PORT") 2>/dev/null && break
        kill -0 "$pid" 2>/dev/null || { tail -n 30 "$run/server.log" >&2; rm "$run/server.pid"; die "the server ended while starting"; }
        sleep 0.05
    done
    seq 0 $((USERS - 1)) | awk -v d="$DOMAIN" '{ print "user" $1 "@" d ",,,pw-user" $1 }' >"$run/accounts.csv"
    "$confab" user import "$run/accounts.csv" >"$run/import.log" 2>&1 || { cat "$run/import.log" >&2; die "the accounts could not be imported"; }
    cat >"$run/env" <<END
SERVER=confab
SERVER_VERSION='$(git -C "$checkout" describe --always --dirty 2>/dev/null || echo unknown)'
PID=$pid
DOMAIN=$DOMAIN
HOST=$BIND
C2S_PORT=$C2S_PORT
C2S_TLS_PORT=$C2S_TLS_PORT
USERS=$USERS
SCRAM_HASH=$SCRAM_HASH
CA_FILE=$run/certs/ca.crt
LOG_FILE=$run/server.log
END
    echo "confab is up: . $run/env"
}

down() {
    local pid i
    [ -r "$1/server.pid" ] || { echo "nothing is up in $1" >&2; return; }
    pid=$(cat "$1/server.pid")
    rm -f "$1/server.pid"
    kill -TERM "$pid" 2>/dev/null || return 0
    for ((i = 0; i < 300; i++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
}

[ $# -eq 2 ] || { echo "usage: $(basename "$0") up|down RUN_DIR" >&2; exit 2; }
case $1 in
    up | down) "$1" "$2" ;;
    *) echo "usage: $(basename "$0") up|down RUN_DIR" >&2; exit 2 ;;
esac
