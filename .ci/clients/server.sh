# Sourced by ./run: starts and stops a confab for the clients.
#
#   server_up DIR    starts $CONFAB with its data below DIR, adds alice, bob, carol and the administrator dora, and
#                    exports DOMAIN, STARTTLS_PORT, TLS_PORT, HTTPS_PORT, COMPONENT_PORT and CA_FILE for
#                    the clients; bridge.$DOMAIN may connect as a component
#   server_down DIR
#   server_restart DIR   SIGTERM, and a start with the same data and ports; DIR is exported as SERVER_DIR

: "${DOMAIN:=example.com}"
export DOMAIN

free_ports() { # N: that many ports of 127.0.0.1 on which nobody listens, and of which none is given to who does not care
    /usr/bin/python3 - "$1" <<'END'
import random, socket, sys
sockets = []
for port in random.sample(range(20000, 30000), 1000):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        continue
    sockets.append(s)
    if len(sockets) == int(sys.argv[1]):
        break
print(*[s.getsockname()[1] for s in sockets])
END
}

server_up() {
    local dir=$1
    mkdir -p "$dir"
    export CONFAB_DATA=$dir/data SERVER_DIR=$dir
    export CA_FILE=$CONFAB_DATA/tls/cert.pem STARTTLS_PORT TLS_PORT HTTPS_PORT COMPONENT_PORT
    local try
    for try in 1 2 3; do
        read -r STARTTLS_PORT TLS_PORT HTTPS_PORT COMPONENT_PORT < <(free_ports 4)
        server_start "$dir" && break
        # Somebody else may have been given one of the ports meanwhile.
        [ "$try" -lt 3 ] && tail -n 3 "$dir/server.log" | grep -q 'address already in use' || return
    done
    printf '%s\n' address,name,password "alice@$DOMAIN,Alice Archer,pw-alice" "bob@$DOMAIN,Bob Baker,pw-bob" \
        "carol@$DOMAIN,Carol Cook,pw-carol" "dora@$DOMAIN,Dora Drake,pw-dora" | "$CONFAB" user import - >>"$dir/server.log" 2>&1
    "$CONFAB" user set dora --admin >>"$dir/server.log" 2>&1
}

server_start() { # DIR: with the data and the ports that server_up has exported
    local dir=$1 i
    "$CONFAB" serve --domains "$DOMAIN" --listen-starttls "127.0.0.1:$STARTTLS_PORT" --listen-tls "127.0.0.1:$TLS_PORT" \
        --listen-https "127.0.0.1:$HTTPS_PORT" --listen-component "127.0.0.1:$COMPONENT_PORT" \
        --limits-tls-handshake 2m --limits-login 2m \
        --components-accept "[{name = \"bridge.$DOMAIN\", secret = \"the secret of the bridge\"}]" \
        >>"$dir/server.log" 2>&1 </dev/null &
    echo $! >"$dir/server.pid"
    for ((i = 0; i < 1200; i++)); do
        "$CONFAB" status >/dev/null 2>&1 && return # a port could be somebody else's
        kill -0 "$(cat "$dir/server.pid")" 2>/dev/null || break
        sleep 0.05
    done
    cat "$dir/server.log" >&2
    echo "confab does not start" >&2
    return 1
}

server_restart() { # DIR: as an upgrade does it, from within a client's test too
    server_down "$1" && server_start "$1"
}

server_down() {
    local pid i
    [ -r "$1/server.pid" ] || return 0
    pid=$(cat "$1/server.pid")
    rm -f "$1/server.pid"
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 1200; i++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    echo "confab does not stop" >&2
    kill -KILL "$pid" 2>/dev/null || true
    return 1
}
