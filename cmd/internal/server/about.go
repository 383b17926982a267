package server

import (
	"fmt"
	"slices"

	"confab/cmd/internal/config"
	"confab/xmpp/feature"
	"confab/xmpp/feature/serverinfo"
)

// about is what the settings tell of the server.
func (s *Server) about() feature.Feature {
	return serverinfo.New(serverinfo.Options{
		Settings: func() any { return s.settings.Load() },
		Contacts: func() []serverinfo.Contact {
			c := &s.settings.Load().Contact
			return []serverinfo.Contact{
				{Purpose: "abuse", Addresses: c.Abuse}, {Purpose: "admin", Addresses: c.Admin}, {Purpose: "feedback", Addresses: c.Feedback},
				{Purpose: "sales", Addresses: c.Sales}, {Purpose: "security", Addresses: c.Security}, {Purpose: "status", Addresses: c.Status},
				{Purpose: "support", Addresses: c.Support},
			}
		},
		Policy: func() serverinfo.Policy {
			set := s.settings.Load()
			return serverinfo.Policy{
				Retention: set.Archive.Retention.Duration, Access: set.Policy.Access, AtRest: set.Policy.AtRest == config.On, Terms: set.Policy.Terms,
				Backups: set.Policy.Backups.Duration, Kept: set.Policy.Retention.Duration, Info: set.Policy.Info,
			}
		},
	})
}

// partedWarnings says which domains have outgrown contact lists of everybody.
func (s *Server) partedWarnings() (list []string) {
	for _, d := range s.directory.Domains() {
		if s.roster.Parted(d.Name()) {
			list = append(list, fmt.Sprintf("%s has %d people to be listed: with roster.domain = auto, contact lists now show one's own groups only; all shows everybody, groups says that this is meant",
				d.Name(), d.Snapshot().Listed))
		}
	}
	return list
}

// absentWarnings says whom a domain that was taken out of the settings has shut out.
func (s *Server) absentWarnings() (list []string) {
	for domain, users := range s.directory.Absent() {
		list = append(list, fmt.Sprintf("%s is not among domains: its users, %d, are kept but cannot log in", domain, users))
	}
	slices.Sort(list)
	return list
}
