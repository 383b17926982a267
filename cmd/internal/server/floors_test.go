package server

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors says which floor a package lives on; the longest prefix counts.
var floors = map[string]int{
	"xmpp":                     0,
	"xmpp/xmpptest":            0,
	"xmpp/store":               1,
	"xmpp/accept":              1,
	"xmpp/stream":              1,
	"xmpp/form":                1,
	"xmpp/directory":           2,
	"xmpp/auth":                2,
	"xmpp/router":              2,
	"xmpp/feature":             3,
	"xmpp/c2s":                 3,
	"xmpp/component":           3,
	"xmpp/web":                 3,
	"xmpp/feature/featuretest": 3,
	"xmpp/feature/":            4,
	"archive":                  4,
	"roster":                   4,
	"muc":                      4,
	"aliasbridge":              5,
	"cmd/internal":             6,
	"cmd/confab":               7,
}

// arrows are the imports between packages of one floor.
var arrows = []string{
	"xmpp/auth → xmpp/directory",
	"xmpp/router → xmpp/directory",
	"xmpp/store/bolt → xmpp/store",
	"xmpp/store/bolt → xmpp/store/bolt/internal/memtable",
	"xmpp/store/bolt → xmpp/store/bolt/internal/wal",
	"xmpp/store/storetest → xmpp/store",
	"xmpp/xmpptest → xmpp",
	"xmpp/c2s → xmpp/feature",
	"xmpp/component → xmpp/feature",
	"xmpp/web → xmpp/feature",
	"xmpp/web/websocket → xmpp/c2s",
	"xmpp/web/websocket → xmpp/feature",
	"xmpp/web/websocket → xmpp/web",
	"xmpp/web/bosh → xmpp/c2s",
	"xmpp/web/bosh → xmpp/feature",
	"xmpp/web/bosh → xmpp/web",
	"xmpp/feature/featuretest → xmpp/feature",
	"muc → archive",
	"archive → archive/search",
	"xmpp/feature/pep → xmpp/feature/pubsub",
	"cmd/internal/admin → cmd/internal/config",
	"cmd/internal/admin → cmd/internal/transfer",
	"cmd/internal/api → cmd/internal/admin",
	"cmd/internal/commands → cmd/internal/admin",
	"cmd/internal/server → cmd/internal/admin",
	"cmd/internal/server → cmd/internal/api",
	"cmd/internal/server → cmd/internal/commands",
	"cmd/internal/server → cmd/internal/config",
	"cmd/internal/server → cmd/internal/logs",
	"cmd/internal/server → cmd/internal/metrics",
}

func floorOf(pkg string) (floor int, ok bool) {
	longest := -1
	for prefix, f := range floors {
		if (pkg == prefix || strings.HasPrefix(pkg, strings.TrimSuffix(prefix, "/")+"/")) && len(prefix) > longest {
			longest, floor = len(prefix), f
		}
	}
	return floor, longest >= 0
}

// TestImportsGoDown holds the packages to their floors: imports go down, and
// along the arrows that are drawn.
func TestImportsGoDown(t *testing.T) {
	list := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "confab/...")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		pkg := strings.TrimPrefix(words[0], "confab/")
		from, ok := floorOf(pkg)
		if !ok {
			t.Errorf("%s has no floor", pkg)
			continue
		}
		for _, imported := range words[1:] {
			to, ours := strings.CutPrefix(imported, "confab/")
			if !ours {
				continue
			}
			below, _ := floorOf(to)
			arrow := pkg + " → " + to
			switch {
			case below > from:
				t.Errorf("%s (floor %d) reaches up to %s (floor %d)", pkg, from, to, below)
			case below == from && !slices.Contains(arrows, arrow):
				t.Errorf("%s: a new arrow on floor %d", arrow, from)
			case below == from:
				used[arrow] = true
			}
		}
	}
	for _, arrow := range arrows {
		if !used[arrow] && !strings.HasPrefix(arrow, "muc") {
			t.Errorf("%s is drawn and not used", arrow)
		}
	}
	if len(used) == 0 {
		t.Error("no package was looked at")
	}
}
