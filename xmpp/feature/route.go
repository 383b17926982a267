package feature

import "net/http"

// Route is a part of the server's web side: a pattern as http.ServeMux takes it,
// "PUT /upload/{id}/{name}", and what answers there. The first segment of the
// path is the feature's own.
//
// Package xmpp/web calls the handler with RemoteAddr as trusted proxies tell it,
// and with headers set that are safe for anything. A handler that takes longer
// than web.Timeout extends the deadlines itself (http.ResponseController).
type Route struct {
	Pattern string
	Handler http.Handler
}

// Routes lists the routes of all features.
func (t *Table) Routes() []Route {
	var all []Route
	for i := range t.features {
		all = append(all, t.features[i].Routes...)
	}
	return all
}
