package config

import (
	"net/url"
	"slices"
	"strings"
)

// Contact is whom to write to.
type Contact struct {
	Admin    []string `toml:"admin" live:"yes" doc:"The administrators: mailto:xmpp@example.com, xmpp:admin@example.com or https://example.com/contact."`
	Abuse    []string `toml:"abuse" live:"yes" doc:"For complaints about users."`
	Feedback []string `toml:"feedback" live:"yes" doc:"For what people think of the service."`
	Sales    []string `toml:"sales" live:"yes" doc:"For buying."`
	Security []string `toml:"security" live:"yes" doc:"For holes that somebody found."`
	Status   []string `toml:"status" live:"yes" doc:"A page that tells if the service is up."`
	Support  []string `toml:"support" live:"yes" doc:"For help."`
}

// Policy is what becomes of people's data.
type Policy struct {
	Terms     string   `toml:"terms" live:"yes" doc:"Address of the terms of service, as https://example.com/terms."`
	Access    []string `toml:"access" live:"yes" doc:"Who has access to what people write: admins, moderators, organization_member, government, advertisers, partners, or none. Administrators at the command line have, whatever this says."`
	AtRest    Switch   `toml:"encrypted" live:"yes" doc:"on: the disk with the data folder is encrypted. It is only told; confab does not encrypt it."`
	Backups   Duration `toml:"backups" live:"yes" doc:"How often there is a backup, as 24h; 0s: that is not told."`
	Retention Duration `toml:"backups_kept" live:"yes" doc:"How long backups are kept, as 90d; 0s: that is not told."`
	Info      string   `toml:"info" live:"yes" doc:"What else people should know."`
}

// accessors are the values of policy.access (XEP-0504 §3.9).
var accessors = []string{"admins", "moderators", "organization_member", "government", "advertisers", "partners", "none"}

func (l *Loaded) checkAbout(bad func(name, format string, args ...any)) {
	c := &l.Contact
	for name, list := range map[string][]string{
		"contact.admin": c.Admin, "contact.abuse": c.Abuse, "contact.feedback": c.Feedback, "contact.sales": c.Sales,
		"contact.security": c.Security, "contact.status": c.Status, "contact.support": c.Support,
	} {
		for _, text := range list {
			if !isURI(text) {
				bad(name, "%q is no URI; write mailto:somebody@example.com, xmpp:somebody@example.com or https://example.com/page", text)
			}
		}
	}
	if l.Policy.Terms != "" && !isURI(l.Policy.Terms) {
		bad("policy.terms", "%q is no URI; write https://example.com/terms", l.Policy.Terms)
	}
	for _, who := range l.Policy.Access {
		if !slices.Contains(accessors, who) {
			bad("policy.access", "%q is not one of %s", who, strings.Join(accessors, ", "))
		}
	}
	if slices.Contains(l.Policy.Access, "none") && len(l.Policy.Access) > 1 {
		bad("policy.access", "none stands alone")
	}
	if strings.ContainsFunc(l.Policy.Info, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		bad("policy.info", "it has control characters")
	}
}

// isURI reports whether text is an absolute URI (RFC 3986 §4.3).
func isURI(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host+u.Opaque+u.Path != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f })
}
