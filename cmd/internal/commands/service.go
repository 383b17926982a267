package commands

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

const nsAdmin = "http://jabber.org/protocol/admin"

// unsupported are commands of XEP-0133 that nobody can run: passwords are not
// kept in a form that could be told, and there are no other servers to be
// talked to or not.
var unsupported = []string{
	"get-user-password", "edit-blacklist", "add-to-blacklist-in", "add-to-blacklist-out",
	"edit-whitelist", "add-to-whitelist", "add-to-whitelist-in", "add-to-whitelist-out",
}

// service are the commands of XEP-0133, in its order.
var service = slices.Concat([]command{
	{node: "add-user", name: "Add User", op: admin.UserAdd.Operation, run: addUser, steps: ask("Adding a User", "Fill out this form to add a user.",
		form.Field{Var: "accountjid", Type: form.JIDSingle, Label: "The Jabber ID for the account to be added", Required: true},
		form.Field{Var: "password", Type: form.TextPrivate, Label: "The password for this account"},
		form.Field{Var: "password-verify", Type: form.TextPrivate, Label: "Retype password"},
		form.Field{Var: "email", Type: form.TextSingle, Label: "Email address"},
		form.Field{Var: "given_name", Type: form.TextSingle, Label: "Given name"},
		form.Field{Var: "surname", Type: form.TextSingle, Label: "Family name"})},
	{node: "delete-user", name: "Delete User", op: admin.UserDelete.Operation, steps: askAccounts("Deleting a User", "to delete"),
		run: each(false, func(c *call, j xmpp.JID) error {
			_, _, err := do(c, admin.UserDelete, admin.UserDeleteParams{Address: j.String()})
			return err
		})},
	{node: "disable-user", name: "Disable User", op: admin.UserDisable.Operation, steps: askAccounts("Disabling a User", "to disable"),
		run: each(false, func(c *call, j xmpp.JID) error {
			_, _, err := do(c, admin.UserDisable, admin.UserParams{Address: j.String()})
			return err
		})},
	{node: "reenable-user", name: "Re-Enable User", op: admin.UserEnable.Operation, steps: askAccounts("Re-Enable a User", "to re-enable"),
		run: each(false, func(c *call, j xmpp.JID) error {
			_, _, err := do(c, admin.UserEnable, admin.UserParams{Address: j.String()})
			return err
		})},
	{node: "end-user-session", name: "End User Session", op: admin.UserKick.Operation, steps: askAccounts("Ending a User Session", "for which to end sessions"),
		run: each(true, func(c *call, j xmpp.JID) error {
			_, _, err := do(c, admin.UserKick, admin.UserKickParams{Address: j.String()})
			return err
		})},
	{node: "change-user-password", name: "Change User Password", op: admin.UserPassword.Operation, run: changePassword, steps: ask("Changing a User Password", "Fill out this form to change a user's password.",
		form.Field{Var: "accountjid", Type: form.JIDSingle, Label: "The Jabber ID for this account", Required: true},
		form.Field{Var: "password", Type: form.TextPrivate, Label: "The password for this account", Required: true})},
	{node: "get-user-roster", name: "Get User Roster", op: admin.UserRoster.Operation, run: userRoster, steps: askAccounts("Getting a User's Roster", "for which to retrieve the roster")},
	{node: "get-user-lastlogin", name: "Get User Last Login Time", op: admin.UserShow.Operation, run: lastLogin, steps: askAccounts("Getting a User's Last Login Time", "for which to retrieve the last login time")},
	{node: "user-stats", name: "Get User Statistics", op: admin.UserStatistics.Operation, run: userStats, steps: ask("Get User Statistics", "Fill out this form to gather user statistics.",
		form.Field{Var: "accountjid", Type: form.JIDSingle, Label: "The Jabber ID for statistics", Required: true})},
}, numbers(), lists(), []command{
	{node: "announce", name: "Send Announcement to Online Users", op: admin.Announce.Operation, run: announce, steps: ask("Making an Announcement", "Fill out this form to make an announcement to all active users of this service.",
		form.Field{Var: "announcement", Type: form.TextMulti, Label: "Announcement", Required: true})},
	{node: "set-motd", name: "Set Message of the Day", op: admin.MOTD.Set.Operation, run: setNotice("motd", admin.MOTD.Set),
		steps: askNotice("Setting the Message of the Day", "motd", "Message of the Day", nil)},
	{node: "edit-motd", name: "Edit Message of the Day", op: admin.MOTD.Edit.Operation, run: setNotice("motd", admin.MOTD.Edit),
		steps: askNotice("Editing the Message of the Day", "motd", "Message of the Day", func(c *call) (admin.Notice, error) {
			_, n, err := do(c, admin.MOTD.Show, admin.NoticeDomainParams{})
			return n, err
		})},
	{node: "delete-motd", name: "Delete Message of the Day", op: admin.MOTD.Delete.Operation, run: deleteNotice(admin.MOTD.Delete)},
	{node: "set-welcome", name: "Set Welcome Message", op: admin.Welcome.Set.Operation, run: setNotice("welcome", admin.Welcome.Set),
		steps: askNotice("Setting Welcome Message", "welcome", "Welcome Message", func(c *call) (admin.Notice, error) {
			_, n, err := do(c, admin.Welcome.Show, admin.NoticeDomainParams{})
			if admin.CodeOf(err) == admin.NotFound {
				err = nil
			}
			return n, err
		})},
	{node: "delete-welcome", name: "Delete Welcome Message", op: admin.Welcome.Delete.Operation, run: deleteNotice(admin.Welcome.Delete)},
	{node: "edit-admin", name: "Edit Admin List", op: admin.UserSet.Operation, run: editAdmins, steps: []func(*call) (*form.Form, error){askAdmins}},
	{node: "restart", name: "Restart Service", op: admin.ServerRestart.Operation, run: end(admin.ServerRestart), steps: askDelay("Restarting the Service", "restarting")},
	{node: "shutdown", name: "Shut Down Service", op: admin.ServerStop.Operation, run: end(admin.ServerStop), steps: askDelay("Shutting Down the Service", "shutting down")},
})

func init() {
	for i := range service {
		service[i].node = nsAdmin + "#" + service[i].node
	}
}

// ask is the one form of a command.
func ask(title, instructions string, fields ...form.Field) []func(*call) (*form.Form, error) {
	return []func(*call) (*form.Form, error){func(*call) (*form.Form, error) {
		f := form.New(form.TypeForm, nsAdmin, slices.Clone(fields)...)
		f.Title, f.Instructions = title, []string{instructions}
		return f, nil
	}}
}

func askAccounts(title, purpose string) []func(*call) (*form.Form, error) {
	return ask(title, "Fill out this form with one address a line.",
		form.Field{Var: "accountjids", Type: form.JIDMulti, Label: "The Jabber ID(s) " + purpose, Required: true})
}

// maxAccounts is how many users a command takes at a time.
const maxAccounts = 500

// accounts are the users that the form names. All of them must exist before
// anything happens to any.
func accounts(c *call, full bool) (list []xmpp.JID, err error) {
	values := c.Answer().Values("accountjids")
	if len(values) > maxAccounts {
		return nil, badPayload(fmt.Sprintf("these are more than %d", maxAccounts))
	}
	for _, v := range values {
		j, err := account(c, v, full)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, j) {
			list = append(list, j)
		}
	}
	return list, nil
}

func account(c *call, text string, full bool) (xmpp.JID, error) {
	j, err := xmpp.ParseJID(strings.TrimSpace(text))
	switch {
	case err != nil, j.Local() == "":
		return j, badPayload(text + " is not the address of a user")
	case j.IsFull() && !full:
		return j, badPayload(text + " is the address of one session, not of a user")
	}
	_, _, err = do(c, admin.UserShow, admin.UserParams{Address: j.Bare().String()})
	return j, err
}

// each does something to each of the users.
func each(full bool, fn func(c *call, j xmpp.JID) error) func(*call) (feature.Outcome, error) {
	return func(c *call) (feature.Outcome, error) {
		list, err := accounts(c, full)
		if err != nil {
			return feature.Outcome{}, err
		}
		var out feature.Outcome
		for _, j := range list {
			err := fn(c, j)
			if err != nil && len(list) == 1 {
				return out, err
			}
			if err != nil {
				out.Notes = append(out.Notes, feature.Note{Severity: feature.NoteError, Text: j.String() + ": " + err.Error()})
			}
		}
		return out, nil
	}
}

func addUser(c *call) (feature.Outcome, error) {
	text := func(name string) string {
		v, _, _ := c.Answer().Text(name) // the form was checked
		return v
	}
	j, err := xmpp.ParseJID(strings.TrimSpace(text("accountjid")))
	if err != nil || j.Local() == "" || j.IsFull() {
		return feature.Outcome{}, badPayload("this is not the address of a user")
	}
	password := text("password")
	if password != text("password-verify") {
		return feature.Outcome{}, badPayload("the two passwords differ")
	}
	name := strings.TrimSpace(strings.TrimSpace(text("given_name")) + " " + strings.TrimSpace(text("surname")))
	if _, _, err := do(c, admin.UserAdd, admin.UserAddParams{Address: j.String(), Password: password, Name: name}); err != nil {
		return feature.Outcome{}, err
	}
	out := done(j.String() + " was added")
	if password == "" {
		out.Notes = append(out.Notes, feature.Note{Severity: feature.NoteWarn, Text: "nobody can log in before there is a password"})
	}
	if email := strings.TrimSpace(text("email")); email != "" && !strings.EqualFold(email, j.String()) {
		out.Notes = append(out.Notes, feature.Note{Severity: feature.NoteWarn, Text: "the mail address is that of the user, " + j.String() + "; another one is not kept"})
	}
	return out, nil
}

func changePassword(c *call) (feature.Outcome, error) {
	who, _, _ := c.Answer().Text("accountjid")
	j, err := account(c, who, false)
	if err != nil {
		return feature.Outcome{}, err
	}
	password, _, _ := c.Answer().Text("password")
	_, _, err = do(c, admin.UserPassword, admin.UserPasswordParams{Address: j.String(), Password: password})
	return feature.Outcome{}, err
}

// userRoster tells a form for each of the users, in which the roster is as
// clients get it (XEP-0133 §4.8).
func userRoster(c *call) (feature.Outcome, error) {
	list, err := accounts(c, false)
	if err != nil {
		return feature.Outcome{}, err
	}
	var out feature.Outcome
	for _, j := range list {
		_, r, err := do(c, admin.UserRoster, admin.UserParams{Address: j.String()})
		if err != nil {
			return feature.Outcome{}, err
		}
		f := form.New(form.TypeResult, nsAdmin, form.Field{Var: "accountjids", Type: form.JIDMulti, Values: []string{j.String()}})
		b := []byte(strings.TrimSuffix(string(f.Append(nil)), "</x>"))
		b = append(b, "<query xmlns='"+xmpp.NSRoster+"'>"...)
		out.Payload = append(append(append(out.Payload, b...), r.XML...), "</query></x>"...)
	}
	return out, nil
}

// lastLogin tells a form for each of the users.
func lastLogin(c *call) (feature.Outcome, error) {
	list, err := accounts(c, false)
	if err != nil {
		return feature.Outcome{}, err
	}
	var out feature.Outcome
	for _, j := range list {
		_, u, err := do(c, admin.UserShow, admin.UserParams{Address: j.String()})
		if err != nil {
			return feature.Outcome{}, err
		}
		at := form.Field{Var: "lastlogin", Type: form.TextSingle, Label: "Last login"}
		if u.LastLogin != nil {
			at.Values = []string{u.LastLogin.UTC().Format(time.RFC3339)} // XEP-0082
		}
		f := form.New(form.TypeResult, nsAdmin, form.Field{Var: "accountjids", Type: form.JIDMulti, Values: []string{j.String()}}, at)
		out.Payload = f.Append(out.Payload)
	}
	return out, nil
}

func userStats(c *call) (feature.Outcome, error) {
	who, _, _ := c.Answer().Text("accountjid")
	j, err := account(c, who, false)
	if err != nil {
		return feature.Outcome{}, err
	}
	_, s, err := do(c, admin.UserStatistics, admin.UserParams{Address: j.String()})
	if err != nil {
		return feature.Outcome{}, err
	}
	rate := func(v float64) []string { return []string{strconv.FormatFloat(v, 'f', 4, 64)} }
	return feature.Outcome{Form: form.New(form.TypeResult, nsAdmin,
		form.Field{Var: "ipaddresses", Type: form.TextMulti, Label: "Addresses of the sessions", Values: s.Addresses},
		form.Field{Var: "rostersize", Type: form.TextSingle, Label: "Contacts", Values: []string{strconv.Itoa(s.Contacts)}},
		form.Field{Var: "onlineresources", Type: form.TextMulti, Label: "Sessions", Values: s.Sessions},
		form.Field{Var: "stanzaspersecond", Type: form.TextSingle, Label: "Stanzas a second, sent by the sessions on average", Values: rate(s.StanzasPerSecond)},
		form.Field{Var: "loginsperminute", Type: form.TextSingle, Label: "Logins a minute on average", Values: rate(s.LoginsPerMinute)},
	)}, nil
}

// census is a kind of users that are counted and listed.
type census struct {
	word, what  string
	list, field string // the node of the list, and the field of its result
	params      admin.UserListParams
}

var censuses = []census{
	{"registered", "Registered", "get-registered-users-list", "registereduserjids", admin.UserListParams{}},
	{"disabled", "Disabled", "get-disabled-users-list", "disableduserjids", admin.UserListParams{Disabled: true}},
	{"online", "Online", "get-online-users-list", "onlineuserjids", admin.UserListParams{Online: true}},
	{"active", "Active", "get-active-users", "activeuserjids", admin.UserListParams{Active: true}},
	{"idle", "Idle", "get-idle-users", "activeuserjids", admin.UserListParams{Idle: true}}, // the name that §4.22 has
}

func numbers() (all []command) {
	for _, k := range censuses {
		all = append(all, command{
			node: "get-" + k.word + "-users-num", name: "Get Number of " + k.what + " Users", op: admin.UserList.Operation,
			run: func(c *call) (feature.Outcome, error) {
				_, n, err := do(c, admin.UserList, k.params)
				return feature.Outcome{Form: form.New(form.TypeResult, nsAdmin, form.Field{
					Var: k.word + "usersnum", Type: form.TextSingle, Label: "The number of " + k.word + " users", Values: []string{strconv.Itoa(n.Users)},
				})}, err
			},
		})
	}
	return all
}

// maxListed is how many users a list has if no number is chosen; of more it is refused.
const maxListed = 5000

func lists() (all []command) {
	for _, k := range censuses {
		most := form.Field{Var: "max_items", Type: form.ListSingle, Label: "Maximum number of items to show"}
		for _, n := range []string{"25", "50", "75", "100", "150", "200"} {
			most.Options = append(most.Options, form.Option{Label: n, Value: n})
		}
		most.Options = append(most.Options, form.Option{Label: "None", Value: "none"})
		all = append(all, command{
			node: k.list, name: "Get List of " + k.what + " Users", op: admin.UserList.Operation,
			steps: ask("Requesting List of "+k.what+" Users", "Fill out this form to request the "+k.word+" users of this service.", most),
			run: func(c *call) (feature.Outcome, error) {
				items, _, err := do(c, admin.UserList, k.params)
				if err != nil {
					return feature.Outcome{}, err
				}
				text, _, _ := c.Answer().Text("max_items")
				limit, _ := strconv.Atoi(text)
				if limit == 0 && len(items) > maxListed {
					return feature.Outcome{}, xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("there are %d: choose how many", len(items)))
				}
				f := form.Field{Var: k.field, Type: form.JIDMulti, Label: "The list of " + k.word + " users"}
				for i := range min(len(items), cmp.Or(limit, maxListed)) {
					f.Values = append(f.Values, items[i].Address)
				}
				return feature.Outcome{Form: form.New(form.TypeResult, nsAdmin, f)}, nil
			},
		})
	}
	return all
}
