package metrics

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestFiguresAreServed(t *testing.T) {
	n := int64(3)
	list := []Figure{
		{Name: "logins", Help: "Logins.", Read: func() int64 { return n }},
		{Name: "sessions", Help: "Sessions there are.", Kind: Gauge, Read: func() int64 { return 2 * n }},
	}
	times := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "confab_commit_seconds", Buckets: []float64{1}})
	times.Observe(0.5)
	s := httptest.NewServer(Handler(list, times))
	defer s.Close()
	for _, want := range []int64{3, 4} {
		n = want
		got := get(t, s.URL+"/metrics", http.StatusOK)
		for _, line := range []string{"confab_logins_total " + string(rune('0'+n)), "confab_sessions " + string(rune('0'+2*n)),
			"confab_commit_seconds_count 1", "# HELP confab_logins_total Logins.", "# TYPE confab_sessions gauge"} {
			if !strings.Contains(got, "\n"+line+"\n") {
				t.Errorf("there is no line %q", line)
			}
		}
		if v := Values(list); v["logins"] != n || v["sessions"] != 2*n {
			t.Errorf("the figures are %v", v)
		}
	}
	get(t, s.URL+"/", http.StatusNotFound)
	r, err := http.Post(s.URL+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST is answered by %s", r.Status)
	}
}

func get(t *testing.T, url string, status int) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != status {
		t.Errorf("%s: %s", url, r.Status)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDashboardAsksForWhatIsServed(t *testing.T) {
	list := []Figure{
		{Name: "logins", Panel: "Logins"}, {Name: "logins_refused", Panel: "Logins"},
		{Name: "sessions", Kind: Gauge, Panel: "Sessions"}, {Name: "odd"},
	}
	var b bytes.Buffer
	if err := WriteDashboard(&b, list, []Histogram{{Name: "confab_commit_seconds", Panel: "Commits", Unit: "s"}}); err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(b.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, p := range d.Panels {
		got[p.Title] = len(p.Targets)
		if p.Targets[0].RefID == p.Targets[len(p.Targets)-1].RefID && len(p.Targets) > 1 {
			t.Errorf("%s: two questions of one name", p.Title)
		}
	}
	for title, n := range map[string]int{"Logins": 2, "Sessions": 1, "Commits": 2} {
		if got[title] != n {
			t.Errorf("the panel %s has %d questions, not %d", title, got[title], n)
		}
	}
	if text := b.String(); !strings.Contains(text, "rate(confab_logins_total{") || !strings.Contains(text, `"confab_sessions{`) || strings.Contains(text, "odd") {
		t.Errorf("the questions are wrong: %s", text)
	}
}
