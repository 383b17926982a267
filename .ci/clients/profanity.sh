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
    for setting in "/notify chat off" "/notify typing off" "/presence console all" "/presence chat all" "/presence room all"; do
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
    for ((i = 0; i < 600; i++)); do
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


# Aliases and rooms.
gets_alias() { # the alias comes while both are there
    "$CONFAB" alias create sales bob carol --name "Sales" >/dev/null
    types alice "/win console" && types alice "/roster" && sees alice "sales@$DOMAIN|Sales"
}
asks_alias() { # QUESTION ANSWER: alice asks, bob answers, alice sees it where she asked
    types bob "/win console" && types alice "/msg sales@$DOMAIN $1"
    sees bob "chat message: .*(Sales|sales@$DOMAIN)" && types bob "/win sales@$DOMAIN" && sees bob "Alice Archer \(guest\): $1" || return
    [ "$(screen bob | grep -c "$1")" = 1 ] || { echo "bob sees it more than once"; return 1; }
    types bob "$2"
    types alice "/win sales@$DOMAIN" && sees alice "$1" && sees alice "Bob Baker: $2"
}
enters() { # WHO ROOM
    types "$1" "/join $2@conference.$DOMAIN"
    sees "$1" "You have joined the room as $1, role: participant, affiliation: member"
}
is_invited() { # a room of which bob is a member comes
    "$CONFAB" alias create board alice bob --room --name "The board" >/dev/null
    types bob "/win console" && sees bob "board@conference.$DOMAIN"
}
lists_rooms() { types alice "/win console" && types alice "/rooms" && sees alice "board@conference.$DOMAIN.*The board"; }
talks_in_room() { # FROM TO ROOM TEXT
    types "$1" "/win $3@conference.$DOMAIN" && types "$1" "$4" || return
    types "$2" "/win $3@conference.$DOMAIN" && sees "$2" "$1: $4"
}
stays_out() { types carol "/join $1@conference.$DOMAIN" && sees carol "(Failed to|Error|Unable to) join.*$1@conference.$DOMAIN|[Rr]egistration"; }
comes_back() { # ROOM TEXT: what was said meanwhile is there on coming back
    types bob "/win $1@conference.$DOMAIN" && types bob "/close" || return
    types alice "/win $1@conference.$DOMAIN" && sees alice "<- bob" && types alice "$2" || return
    types bob "/join $1@conference.$DOMAIN" && sees bob "alice: $2"
}

# What is kept on the account.
bookmarks() { # ROOM: it is in the list, also of another session
    types bob "/win console" && types bob "/bookmark add $1@conference.$DOMAIN nick bob autojoin on"
    sees bob "Bookmark added|added" || return
    types carol "/win console"
    types bob "/disconnect" && sees bob "bob@$DOMAIN logged out" || return
    types bob "/clear"
    logs_in bob pw-bob port "$STARTTLS_PORT" tls trust && types bob "/win console" && types bob "/bookmark list" || return
    sees bob "$1@conference.$DOMAIN.*(autojoin|as bob)"
}
has_avatar() { # alice sets one, and bob gets a picture
    printf '%s' "$picture" | base64 -d >"$dir/alice.png"
    types alice "/avatar set $dir/alice.png" && types alice "/win console" && sees alice "Avatar updated|updated" || return
    types bob "/win console" && types bob "/avatar get alice@$DOMAIN" && sees bob "Avatar saved as" || return
    find "$dir/home-bob" -path '*avatars*' -type f -exec head -c 4 {} \; | grep -aq PNG
}
blocks() { # bob blocks alice: she does not reach him until he lets her again
    types bob "/win console" && types bob "/blocked add alice@$DOMAIN" && types bob "/blocked" && sees bob "alice@$DOMAIN" || return
    types alice "/msg bob@$DOMAIN anybody there" && sees alice "service-unavailable|Error|error" || return
    types bob "/blocked remove alice@$DOMAIN" && types alice "/msg bob@$DOMAIN here again" || return
    types bob "/win alice@$DOMAIN" && sees bob "here again" || return
    ! screen bob | grep "anybody there"
}
picture=iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==

start alice
start bob
start carol
check "a wrong password is refused" is_refused
check "login over STARTTLS" logs_in alice pw-alice port "$STARTTLS_PORT" tls trust
check "login over direct TLS" logs_in_asking bob pw-bob port "$TLS_PORT" tls legacy
check "the domain roster" has_roster alice carol "Carol Cook"
check "away is seen" shows bob away alice
check "dnd is seen" shows bob dnd alice
check "online is seen" shows bob online alice
check "chat" chats alice bob "wherefore art thou"
check "chat, the other way" chats bob alice "here I am"
check "an alias appears" gets_alias
check "an alias is asked, and answers" asks_alias "how much" "forty"
check "a member is invited to an alias room" is_invited
check "the list of rooms" lists_rooms
check "an alias room is entered" enters alice board
check "an alias room is entered by another member" enters bob board
check "talk in a room" talks_in_room alice bob board "order order"
check "talk in a room, the other way" talks_in_room bob alice board "hear hear"
check "a third login" logs_in carol pw-carol port "$STARTTLS_PORT" tls trust
check "who is no member stays out" stays_out board
check "the history of a room" comes_back board "adjourned"
check "an avatar" has_avatar
check "blocking" blocks
check "bookmarks" bookmarks board
[ -z "$failed" ]
