package server

import (
	"confab/aliasbridge"
	"confab/archive"
	"confab/cmd/internal/admin"
	"confab/cmd/internal/commands"
	"confab/cmd/internal/config"
	"confab/muc"
	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/account"
	"confab/xmpp/feature/adhoc"
	"confab/xmpp/feature/blocking"
	"confab/xmpp/feature/carbons"
	"confab/xmpp/feature/csi"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/entitytime"
	"confab/xmpp/feature/extdisco"
	"confab/xmpp/feature/invite"
	"confab/xmpp/feature/lastactivity"
	"confab/xmpp/feature/notices"
	"confab/xmpp/feature/pep"
	"confab/xmpp/feature/ping"
	"confab/xmpp/feature/private"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/feature/push"
	"confab/xmpp/feature/usersearch"
	"confab/xmpp/feature/version"
	"confab/xmpp/router"
)

// features is THE list: what this server can do, in the order in which the
// features take their turn at every stage.
func (s *Server) features() []feature.Feature {
	blocks := blocking.New(s.host)
	s.blocks = blocks
	aliases := aliasbridge.New(s.host, s.archive, aliasbridge.Options{Blocks: blocks.Blocks})
	mode := roster.Mode(s.settings.Load().Roster.Domain)
	contacts := roster.New(s.host, roster.Options{
		Mode:    mode,
		Sources: []roster.Source{aliases.Contacts()},
		Blocks:  blocks.Blocks,
	})
	rooms := muc.New(s.host, s.archive, muc.Options{
		MayCreate: func(u *directory.User) bool {
			return u.Admin || s.settings.Load().Rooms.Create == config.RoomsByUsers
		},
		Blocks: blocks.Blocks,
	})
	s.aliases, s.rooms, s.roster = aliases, rooms, contacts
	s.notices = notices.New(s.host)
	contacts.OnPresence(s.notices.Present)
	rooms.SetSource(aliases.Rooms())
	nodes := pubsub.New(s.host, pubsub.Options{MaySee: contacts.MaySee, Seen: contacts.Seen, Groups: contacts.Groups, Blocks: blocks.Blocks, Limits: s.nodeLimits})
	contacts.OnSight(nodes.Sighted)
	events := pep.New(s.host, nodes, pep.Options{Rebroadcast: contacts.Rebroadcast})
	aliases.Connect(contacts, rooms, events)
	own := private.New(s.host)
	own.Stand(private.Name{Space: xmpp.NSBookmarks, Local: "storage"}, private.Face{Get: events.StorageGet, Set: events.StorageSet, Put: events.TakeBookmarks})
	s.push = push.New(s.host, push.Options{Audience: rooms.Audience})
	s.invites = invite.New(s.host, invite.Options{Auth: s.auth, URL: s.invitationURL})
	list := []feature.Feature{
		blocks.Feature(func(out *router.Batch, owner *directory.User, change func()) {
			rooms.Reblock(out, owner, func() { contacts.Reblock(out, owner, change) })
		}),
		archive.NewOffline(s.host, s.archive),
		contacts.Feature(),
		archive.New(s.host, s.archive),
		carbons.New(),
		aliases.Feature(),
		rooms.Feature(),
		nodes.Feature(),
		events.Feature(),
		aliases.Bookmarking(),
		disco.New(disco.Options{MaySee: contacts.MaySee, MaySeeAlias: aliases.MaySee}),
		own.Feature(),
		csi.New(),
		s.push.Feature(),
		account.New(s.host, s.auth),
		s.invites.Feature(),
		ping.New(),
		version.New(s.opts.Version),
		entitytime.New(),
		lastactivity.New(lastactivity.Options{MaySee: contacts.MaySee}),
		s.notices.Feature(),
		s.about(),
		commands.New(func() *admin.Admin { return s.admin }),
		adhoc.New(adhoc.Options{}),
	}
	s.components = s.newComponents()
	s.proxy = s.newProxy()
	list = append(list, s.components.Feature(), extdisco.New(s.callServers), s.proxy.Feature())
	s.uploads = s.newUploads()
	if s.settings.Load().HasWeb() {
		list = append(list, s.uploads.Feature())
	}
	if mode != roster.Off { // whoever is to know nothing of the others is not to find them either
		list = append(list, usersearch.New())
	}
	return list
}

// nodeLimits is what a user may have at the publish-subscribe service.
func (s *Server) nodeLimits(u *directory.User) pubsub.Limits {
	settings := s.settings.Load().PubSub
	limits := pubsub.Limits{Nodes: settings.Nodes, Bytes: int64(settings.Quota)}
	if settings.Create == config.NodesByNobody || settings.Create == config.NodesByAdmins && !u.Admin {
		limits.Nodes = 0
	}
	return limits
}
