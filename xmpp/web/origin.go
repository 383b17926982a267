package web

import (
	"net/http"
	"net/url"
	"strings"
)

// Origins are the web sites whose pages may use a part of the server: what a
// browser sends as Origin, https://chat.example.com, one with a star for part of
// the host, https://*.example.com, or * for all.
type Origins []string

// Allow reports whether the page that a request comes from may send it. What has
// no Origin is from no page, and pages of the server itself always may.
func (o Origins) Allow(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, pattern := range o {
		before, after, star := strings.Cut(strings.ToLower(pattern), "*")
		text := strings.ToLower(origin)
		if !star && text == before || star && len(text) >= len(before)+len(after) && strings.HasPrefix(text, before) && strings.HasSuffix(text, after) {
			return true
		}
	}
	return false
}

// CORS lets scripts of the allowed sites see the answer to a request, which may
// be a POST with a body of whatever type. It reports whether the site is allowed.
// Nothing here goes by cookies, so there are no credentials to speak of.
func (o Origins) CORS(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	if !o.Allow(r) {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Content-Type")
		h.Set("Access-Control-Max-Age", "86400")
	}
	return true
}
