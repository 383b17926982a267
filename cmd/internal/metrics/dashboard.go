package metrics

import (
	"encoding/json"
	"io"
)

// Histogram is a distribution on the dashboard; Name is what Prometheus knows it as.
type Histogram struct{ Name, Help, Panel, Unit string }

// The parts of a Grafana dashboard that are used here.
type (
	dashboard struct {
		Title         string     `json:"title"`
		UID           string     `json:"uid"`
		SchemaVersion int        `json:"schemaVersion"`
		Refresh       string     `json:"refresh"`
		Time          timeRange  `json:"time"`
		Templating    templating `json:"templating"`
		Panels        []panel    `json:"panels"`
	}
	timeRange struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	templating struct {
		List []variable `json:"list"`
	}
	variable struct {
		Name  string `json:"name"`
		Label string `json:"label"`
		Type  string `json:"type"`
		Query string `json:"query"`
	}
	source struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	panel struct {
		ID         int        `json:"id"`
		Title      string     `json:"title"`
		Type       string     `json:"type"`
		Datasource source     `json:"datasource"`
		GridPos    place      `json:"gridPos"`
		Field      fieldWrap  `json:"fieldConfig"`
		Targets    []question `json:"targets"`
	}
	place struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	fieldWrap struct {
		Defaults field `json:"defaults"`
	}
	field struct {
		Unit string `json:"unit,omitempty"`
		Min  int    `json:"min"`
	}
	question struct {
		RefID  string `json:"refId"`
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	}
)

// WriteDashboard writes a dashboard for Grafana, to be imported there: a panel for each that the figures and histograms name.
func WriteDashboard(w io.Writer, figures []Figure, histograms []Histogram) error {
	d := dashboard{
		Title: "confab", UID: "confab", SchemaVersion: 39, Refresh: "30s", Time: timeRange{"now-6h", "now"},
		Templating: templating{[]variable{{Name: "source", Label: "Prometheus", Type: "datasource", Query: "prometheus"}}},
	}
	const selector = `{job="confab"}`
	at := map[string]int{}
	add := func(title, unit, legend, expr string) {
		i, ok := at[title]
		if !ok {
			i = len(d.Panels)
			at[title] = i
			d.Panels = append(d.Panels, panel{
				ID: i + 1, Title: title, Type: "timeseries", Datasource: source{"prometheus", "${source}"},
				GridPos: place{H: 8, W: 12, X: 12 * (i % 2), Y: 8 * (i / 2)}, Field: fieldWrap{field{Unit: unit}},
			})
		}
		p := &d.Panels[i]
		p.Targets = append(p.Targets, question{string(rune('A' + len(p.Targets)%26)), expr, legend})
	}
	for i := range figures {
		f := &figures[i]
		switch {
		case f.Panel == "":
		case f.Kind == Counter:
			add(f.Panel, "", f.Name+"/s", "rate("+f.FullName()+selector+"[$__rate_interval])")
		default:
			add(f.Panel, "", f.Name, f.FullName()+selector)
		}
	}
	for _, h := range histograms {
		for _, q := range []struct{ quantile, name string }{{"0.5", "half"}, {"0.99", "99 of 100"}} {
			add(h.Panel, h.Unit, h.Name+", "+q.name, "histogram_quantile("+q.quantile+", sum by (le) (rate("+h.Name+"_bucket"+selector+"[$__rate_interval])))")
		}
	}
	add("Memory", "bytes", "resident", "process_resident_memory_bytes"+selector)
	add("Memory", "bytes", "heap", "go_memstats_heap_inuse_bytes"+selector)
	add("Processor", "", "cores", "rate(process_cpu_seconds_total"+selector+"[$__rate_interval])")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(d)
}
