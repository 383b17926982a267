package invite

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"html/template"
	"net/http"

	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// The page of an invitation (XEP-0379 §3.3, XEP-0401 §4.2). It needs no script,
// and loads nothing.
//
//go:embed page.html
var frame string

func page(body string) *template.Template {
	t := template.Must(template.New("").Parse(frame))
	return template.Must(t.Parse(`{{define "body"}}` + body + `{{end}}`))
}

var (
	invited = page(`
<h1>{{if .Reset}}A new password for {{.Address}}{{else}}You are invited to chat as {{.Address}}{{end}}</h1>
{{with .Problem}}<p class="problem">{{.}}</p>{{end}}
<h2>With a chat app that is installed</h2>
<p><a class="button" href="{{.URI}}">Open in the app</a></p>
<p>Nothing happens? Install one of these, and come back to this page, or choose a password below:
<a href="https://conversations.im/">Conversations</a> (Android),
<a href="https://monal-im.org/">Monal</a> (iPhone, Mac),
<a href="https://gajim.org/">Gajim</a> (Windows, Linux, Mac),
<a href="https://dino.im/">Dino</a> (Linux).</p>
<h2>Here</h2>
<form method="post">
<label>Address <input name="address" value="{{.Address}}" autocomplete="username" readonly></label>
<label>Password <input name="password" type="password" autocomplete="new-password" required></label>
<label>Once more <input name="again" type="password" autocomplete="new-password" required></label>
<p><button>{{if .Reset}}Set the password{{else}}Make the account{{end}}</button></p>
</form>
<p>The invitation is good until {{.Expires}}, and once.</p>`)

	welcome = page(`
<h1>{{if .Reset}}The password is set{{else}}Welcome{{end}}</h1>
<p>Log in as <strong>{{.Address}}</strong> with the password that you have chosen, in any chat app for XMPP (Jabber).</p>`)

	gone = page(`
<h1>This invitation is not good</h1>
<p>It was used, it is too old, or the address is not complete. Ask whoever invited you for another one.</p>`)
)

type view struct {
	Domain, Address, Expires, Problem, Nonce string
	URI                                      template.URL
	Reset                                    bool
}

func show(w http.ResponseWriter, status int, t *template.Template, v view) {
	v.Nonce = rand.Text()
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "frame", v); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+v.Nonce+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // who does not read it has gone
}

func (v *Invites) routes() []feature.Route {
	return []feature.Route{
		{Pattern: "GET /invite/{token}", Handler: v.page((*Invites).look)},
		{Pattern: "POST /invite/{token}", Handler: v.page((*Invites).choose)},
	}
}

type handler func(v *Invites, w http.ResponseWriter, r *http.Request, h hash, i *record)

// page finds the invitation that a request is about. Wrong addresses are not
// counted: nobody guesses 130 bits, and behind one address is an office where all
// are invited on one day, and come back to pages that were used.
func (v *Invites) page(fn handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.PathValue("token")
		h, i := v.find(token, "")
		if i == nil {
			show(w, http.StatusNotFound, gone, view{Domain: "this server"})
			return
		}
		fn(v, w, r, h, i)
	})
}

func (v *Invites) view(i *record, token string) view {
	made := i.invitation()
	return view{
		Domain: i.Domain, Address: i.jid().String(), Reset: made.Reset, URI: template.URL(made.URI(token)),
		Expires: made.Expires.Format("2 January 2006, 15:04 MST"),
	}
}

// look shows an invitation. It does not use it: previews of links do this, too.
func (v *Invites) look(w http.ResponseWriter, r *http.Request, _ hash, i *record) {
	show(w, http.StatusOK, invited, v.view(i, r.PathValue("token")))
}

// choose takes the password that was chosen on the page.
func (v *Invites) choose(w http.ResponseWriter, r *http.Request, h hash, i *record) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	shown := v.view(i, r.PathValue("token"))
	refuse := func(status int, problem string) {
		shown.Problem = problem
		show(w, status, invited, shown)
	}
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "The form could not be read.")
		return
	}
	password := r.PostForm.Get("password")
	if password != r.PostForm.Get("again") {
		refuse(http.StatusUnprocessableEntity, "The two passwords are not the same.")
		return
	}
	keys, err := v.opts.Auth.NewKeys(password)
	if err != nil {
		refuse(http.StatusUnprocessableEntity, "That will not do: "+err.Error()+".")
		return
	}
	switch err := v.redeem(context.WithoutCancel(r.Context()), h, i, keys); {
	case errors.Is(err, errGone):
		show(w, http.StatusNotFound, gone, view{Domain: "this server"})
	case errors.Is(err, directory.ErrExists):
		refuse(http.StatusConflict, "Somebody has that address by now.")
	case err != nil:
		v.host.Log.Error("an invitation could not be used", "error", err)
		refuse(http.StatusInternalServerError, "The account could not be made now. Try again later.")
	default:
		show(w, http.StatusOK, welcome, shown)
	}
}
