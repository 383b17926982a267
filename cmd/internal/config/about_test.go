package config

import (
	"strings"
	"testing"
)

func TestAboutMistakes(t *testing.T) {
	for env, want := range map[string]string{
		"CONFAB_CONTACT_ADMIN=mailto:a@b,somebody":  "contact.admin",
		"CONFAB_CONTACT_STATUS=status.example.com":  "contact.status",
		"CONFAB_CONTACT_ABUSE=https://exa mple.com": "contact.abuse",
		"CONFAB_POLICY_TERMS=terms":                 "policy.terms",
		"CONFAB_POLICY_ACCESS=admins,neighbours":    "policy.access",
		"CONFAB_POLICY_ACCESS=none,admins":          "policy.access",
		"CONFAB_POLICY_INFO=\x01":                   "policy.info",
		"CONFAB_POLICY_ENCRYPTED=maybe":             "policy.encrypted",
	} {
		_, err := Source{Env: []string{"CONFAB_DOMAINS=example.com", "CONFAB_DATA=" + t.TempDir(), env}}.Load()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", env, err)
		}
	}
	for _, env := range []string{
		"CONFAB_CONTACT_ADMIN=mailto:xmpp@example.com,xmpp:admin@example.com?message", "CONFAB_CONTACT_STATUS=https://status.example.com/",
		"CONFAB_POLICY_ACCESS=none", "CONFAB_POLICY_ACCESS=off", "CONFAB_POLICY_BACKUPS=36h",
	} {
		if _, err := (Source{Env: []string{"CONFAB_DOMAINS=example.com", "CONFAB_DATA=" + t.TempDir(), env}}).Load(); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
}
