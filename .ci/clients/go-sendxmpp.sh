#!/bin/bash
# Debian's go-sendxmpp against a running confab. Run by ./run.
set -euo pipefail
dir=$1
export HOME=$dir/home SSL_CERT_FILE=$CA_FILE
mkdir -p "$HOME"

failed=
verdict() { # OK? NAME
    if [ "$1" = ok ]; then echo "ok    $2"; else echo "FAIL  $2"; failed=1; fi
}

# send PORT-OPTIONS... says what is on standard input as alice to bob.
send() { go-sendxmpp -u "alice@$DOMAIN" -p "${PASSWORD:-pw-alice}" --timeout 60 "$@" "bob@$DOMAIN"; }

# heard TEXT waits until bob has heard it.
heard() {
    local i
    for ((i = 0; i < 600; i++)); do
        grep -qF "$1" "$dir/heard" && return
        sleep 0.1
    done
    echo "bob heard:" && cat "$dir/heard"
    return 1
}

go-sendxmpp -l -u "bob@$DOMAIN" -p pw-bob -j "127.0.0.1:$STARTTLS_PORT" >"$dir/heard" 2>&1 &
listener=$!
trap 'kill $listener 2>/dev/null || true' EXIT

# Before bob is there the message waits for him, so nothing depends on who is first.
echo "over STARTTLS" | send -j "127.0.0.1:$STARTTLS_PORT" && heard "over STARTTLS" && verdict ok "chat, logged in over STARTTLS" || verdict - "chat, logged in over STARTTLS"
echo "over direct TLS" | send -t -j "127.0.0.1:$TLS_PORT" && heard "over direct TLS" && verdict ok "chat, logged in over direct TLS" || verdict - "chat, logged in over direct TLS"
printf 'two\nlines & <signs> ü\n' | send -j "127.0.0.1:$STARTTLS_PORT" && heard "lines & <signs> ü" && verdict ok "a message with markup" || verdict - "a message with markup"

# A file: sent over HTTPS, its address told to bob, fetched from there.
printf 'what is in the file' >"$dir/cool.txt"
address() { grep -o "https://$DOMAIN:$HTTPS_PORT/upload/[^ ]*/cool.txt" "$dir/heard" | head -n 1; }
send -j "127.0.0.1:$STARTTLS_PORT" --http-upload "$dir/cool.txt" </dev/null && heard "cool.txt" &&
    [ "$(curl -sS --noproxy '*' --cacert "$CA_FILE" "$(address)")" = "what is in the file" ] &&
    verdict ok "a file" || verdict - "a file"

if echo "never" | PASSWORD=wrong send -j "127.0.0.1:$STARTTLS_PORT" >"$dir/refused" 2>&1; then
    verdict - "a wrong password is refused"
elif grep -qi "auth" "$dir/refused"; then
    verdict ok "a wrong password is refused"
else
    cat "$dir/refused"
    verdict - "a wrong password is refused"
fi
if grep -q "never" "$dir/heard"; then verdict - "nothing was said with a wrong password"; fi
[ -z "$failed" ]
