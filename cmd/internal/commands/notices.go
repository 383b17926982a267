package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

func announce(c *call) (feature.Outcome, error) {
	text, _ := c.Answer().Lines("announcement")
	_, n, err := do(c, admin.Announce, admin.NoticeParams{Text: text})
	return done(fmt.Sprintf("users told: %d", n.Users)), err
}

// askNotice asks for the text of a notice; now is the one that stands.
func askNotice(title, field, label string, now func(*call) (admin.Notice, error)) []func(*call) (*form.Form, error) {
	return []func(*call) (*form.Form, error){func(c *call) (*form.Form, error) {
		text := form.Field{Var: field, Type: form.TextMulti, Label: label, Required: true}
		if now != nil {
			n, err := now(c)
			if err != nil {
				return nil, err
			}
			if n.Text != "" {
				text.Values = strings.Split(n.Text, "\n")
			}
		}
		f := form.New(form.TypeForm, nsAdmin, text)
		f.Title, f.Instructions = title, []string{"Fill out this form to set the text."}
		return f, nil
	}}
}

func setNotice(field string, op admin.Op[admin.NoticeParams, admin.None, admin.Notice]) func(*call) (feature.Outcome, error) {
	return func(c *call) (feature.Outcome, error) {
		text, _ := c.Answer().Lines(field)
		_, _, err := do(c, op, admin.NoticeParams{Text: text})
		return feature.Outcome{}, err
	}
}

func deleteNotice(op admin.Op[admin.NoticeDomainParams, admin.None, admin.None]) func(*call) (feature.Outcome, error) {
	return func(c *call) (feature.Outcome, error) {
		_, _, err := do(c, op, admin.NoticeDomainParams{})
		return feature.Outcome{}, err
	}
}

// admins are the administrators of the domain.
func admins(c *call) (list []string, err error) {
	users, _, err := do(c, admin.UserList, admin.UserListParams{})
	for _, u := range users {
		if u.Admin {
			list = append(list, u.Address)
		}
	}
	return list, err
}

func askAdmins(c *call) (*form.Form, error) {
	now, err := admins(c)
	if err != nil {
		return nil, err
	}
	f := form.New(form.TypeForm, nsAdmin, form.Field{Var: "adminjids", Type: form.JIDMulti, Label: "The admin list", Values: now})
	f.Title = "Editing the Admin List"
	f.Instructions = []string{"Fill out this form to edit the list of entities who have administrative privileges."}
	return f, nil
}

// editAdmins makes those administrators who are in the list, and nobody else.
func editAdmins(c *call) (feature.Outcome, error) {
	var want []string
	for _, v := range c.Answer().Values("adminjids") {
		j, err := account(c, v, false)
		if err != nil {
			return feature.Outcome{}, err
		}
		want = append(want, j.String())
	}
	if !slices.Contains(want, c.From.Bare().String()) {
		return feature.Outcome{}, xmpp.NewError(xmpp.NotAllowed, "nobody takes these rights from themselves: somebody has to be left who has them")
	}
	now, err := admins(c)
	if err != nil {
		return feature.Outcome{}, err
	}
	for _, change := range []struct {
		list, unless []string
		admin        bool
	}{{want, now, true}, {now, want, false}} {
		for _, address := range change.list {
			if slices.Contains(change.unless, address) {
				continue
			}
			if _, _, err := do(c, admin.UserSet, admin.UserSetParams{Address: address, Admin: &change.admin}); err != nil {
				return feature.Outcome{}, err
			}
		}
	}
	return feature.Outcome{}, nil
}

func askDelay(title, what string) []func(*call) (*form.Form, error) {
	delay := form.Field{Var: "delay", Type: form.ListSingle, Label: "Time delay before " + what, Options: []form.Option{
		{Label: "30 seconds", Value: "30"}, {Label: "60 seconds", Value: "60"}, {Label: "90 seconds", Value: "90"},
		{Label: "2 minutes", Value: "120"}, {Label: "3 minutes", Value: "180"}, {Label: "4 minutes", Value: "240"}, {Label: "5 minutes", Value: "300"},
	}}
	return ask(title, "Fill out this form. Without a delay it is done at once.", delay,
		form.Field{Var: "announcement", Type: form.TextMulti, Label: "Announcement"})
}

// end has the server stop or restart.
func end(op admin.Op[admin.StopParams, admin.None, admin.Stopping]) func(*call) (feature.Outcome, error) {
	return func(c *call) (feature.Outcome, error) {
		var p admin.StopParams
		if text, ok, _ := c.Answer().Text("delay"); ok {
			p.Delay, _ = strconv.Atoi(text)
		}
		p.Text, _ = c.Answer().Lines("announcement")
		_, _, err := do(c, op, p)
		return feature.Outcome{}, err
	}
}
