#!/bin/bash
# Debian's profanity in tmux against a running confab: what is typed and what the screen then shows.
# Run by ./run.
set -euo pipefail
dir=$1
socket=$dir/tmux
failed=

tm() { tmux -S "$socket" -f /dev/null "$@"; }
trap 'tm kill-server 2>/dev/null || true' EXIT

# start NAME opens a profanity of its own.
start() {
    mkdir -p "$dir/home-$1"
    tm new-session -d -s "$1" -x 160 -y 50 "env HOME='$dir/home-$1' LANG=C.UTF-8 TERM=screen profanity 2>'$dir/profanity-$1.log'"
    sees "$1" "Profanity" # its greeting
    for setting in "/notify chat off" "/notify typing off" "/presence console all" "/presence chat all"; do
        types "$1" "$setting"
    done
}

types() { # NAME TEXT
    tm send-keys -t "$1" -l -- "$2"
    tm send-keys -t "$1" Enter
}

screen() { tm capture-pane -p -J -t "$1"; }

sees() { # NAME TEXT: waits until the screen shows it
    local i
    for ((i = 0; i < 200; i++)); do
        screen "$1" | grep -qE -- "$2" && return
        sleep 0.1
    done
    echo "$1 does not see: $2"
    screen "$1" | sed 's/^/    | /'
    return 1
}

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then echo "ok    $name"; else
        echo "FAIL  $name"
        failed=1
    fi
}

# connect NAME PASSWORD OPTIONS...
connect() {
    local name=$1 password=$2
    shift 2
    types "$name" "/connect $name@$DOMAIN server 127.0.0.1 $*"
    sees "$name" "Enter password"
    types "$name" "$password"
}

logs_in() { connect "$@" && sees "$1" "$1@$DOMAIN/.* logged in successfully"; }
# With direct TLS ("legacy") there is no "trust": it shows the certificate and asks.
logs_in_asking() { connect "$@" && sees "$1" "/tls allow" && types "$1" "/tls allow" && sees "$1" "$1@$DOMAIN/.* logged in successfully"; }
is_refused() { connect alice wrong port "$STARTTLS_PORT" tls trust && sees alice "Login failed"; }
chats() { # FROM TO TEXT
    types "$1" "/msg $2@$DOMAIN $3"
    # The window is there once the message is.
    sees "$2" "chat message: |$1@$DOMAIN|$3"
    types "$2" "/win $1@$DOMAIN"
    sees "$2" "$3"
}
shows() { # WHO SHOW SEEN-BY
    types "$1" "/status set $2"
    types "$3" "/win console"
    sees "$3" "(${1^}[A-Za-z ]*|$1@$DOMAIN[^ ]*) (\\([^)]*\\) )?is $2"
}
has_roster() { types "$1" "/win console" && types "$1" "/roster" && sees "$1" "$2@$DOMAIN|$3"; }

start alice
start bob
check "a wrong password is refused" is_refused
check "login over STARTTLS" logs_in alice pw-alice port "$STARTTLS_PORT" tls trust
check "login over direct TLS" logs_in_asking bob pw-bob port "$TLS_PORT" tls legacy
check "the domain roster" has_roster alice carol "Carol Cook"
check "away is seen" shows bob away alice
check "dnd is seen" shows bob dnd alice
check "online is seen" shows bob online alice
check "chat" chats alice bob "wherefore art thou"
check "chat, the other way" chats bob alice "here I am"
[ -z "$failed" ]
