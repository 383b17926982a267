// Package metrics shows a server's figures to Prometheus, and to people.
//
// A Figure is named, explained and read in one place, the server's list of them; what Prometheus gets, the Grafana dashboard
// and 'confab status' are made from that list.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Prefix begins the name of every figure in Prometheus.
const Prefix = "confab_"

// Figure is something counted or measured.
type Figure struct {
	Name  string // logins_refused; Prometheus knows it as confab_logins_refused, and a Counter's with _total behind it
	Help  string
	Kind  Kind
	Panel string // the panel of the dashboard that shows it; empty: none
	Read  func() int64
}

// Kind says how a figure moves.
type Kind uint8

const (
	Counter Kind = iota // only ever grows while the server runs
	Gauge
)

// FullName is the figure's name in Prometheus.
func (f *Figure) FullName() string {
	if f.Kind == Counter {
		return Prefix + f.Name + "_total"
	}
	return Prefix + f.Name
}

// Values reads all figures, by name.
func Values(figures []Figure) map[string]int64 {
	m := make(map[string]int64, len(figures))
	for i := range figures {
		m[figures[i].Name] = figures[i].Read()
	}
	return m
}

// Handler answers with the figures, the histograms, and those of the process, as Prometheus asks for them.
func Handler(figures []Figure, more ...prometheus.Collector) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(more...)
	for i := range figures {
		f := &figures[i]
		read := func() float64 { return float64(f.Read()) }
		if f.Kind == Counter {
			r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: f.FullName(), Help: f.Help}, read))
		} else {
			r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: f.FullName(), Help: f.Help}, read))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}
