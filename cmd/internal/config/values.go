package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that also reads and writes days: 30d, 1d12h, 10m.
type Duration struct{ time.Duration }

const day = 24 * time.Hour

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	d.Duration = v
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	var days time.Duration
	rest := text
	if n, after, ok := strings.Cut(text, "d"); ok {
		v, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, durationError(text)
		}
		days, rest = time.Duration(v)*day, after
	}
	if rest == "" && text != "" {
		return days, nil
	}
	v, err := time.ParseDuration(rest)
	if err != nil || v < 0 {
		return 0, durationError(text)
	}
	if days+v < days {
		return 0, fmt.Errorf("%q is too long", text)
	}
	return days + v, nil
}

func durationError(text string) error {
	return fmt.Errorf("%q is no time: write a number with a unit, as in 30s, 10m, 12h or 30d", text)
}

// MarshalText writes the shortest form that reads back as the same.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	if d.Duration == 0 {
		return "0s"
	}
	var b strings.Builder
	if n := d.Duration / day; n > 0 {
		fmt.Fprintf(&b, "%dd", n)
	}
	if rest := d.Duration % day; rest > 0 {
		s := rest.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		b.WriteString(s)
	}
	return b.String()
}

// Retention is how long the history is kept; 0 is forever.
type Retention struct{ time.Duration }

// MinRetention is the shortest retention that is accepted.
const MinRetention = 30 * day

// UnmarshalText reads "forever" or a time of at least 30 days.
func (r *Retention) UnmarshalText(text []byte) error {
	if string(text) == "forever" {
		r.Duration = 0
		return nil
	}
	v, err := parseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is neither forever nor a number of days, as in 365d", text)
	}
	if v < MinRetention {
		return fmt.Errorf("%s is too short: the history is kept for at least 30d, or forever", text)
	}
	r.Duration = v
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r Retention) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Retention) String() string {
	if r.Duration == 0 {
		return "forever"
	}
	return Duration(r).String()
}

// Size is a number of bytes that reads and writes 256KiB, 1MiB and the like.
type Size int64

// Units of Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

var units = []struct {
	name string
	size Size
}{
	{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3},
	{"B", 1}, {"", 1},
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
		if err != nil || v > uint64(1<<62/u.size) {
			break
		}
		*s = Size(v) * u.size
		return nil
	}
	return fmt.Errorf("%q is no size: write a number with a unit, as in 256KiB or 1MiB", text)
}

// MarshalText writes the shortest exact form.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range units[:3] {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// LogLevel is the least important thing that is logged.
type LogLevel string

// Level makes a LogLevel a slog.Leveler.
func (l LogLevel) Level() slog.Level {
	switch l {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (l LogLevel) check() error { return oneOf(l, "debug", "info", "warn", "error") }

// LogFormat is the form of the log.
type LogFormat string

func (f LogFormat) check() error { return oneOf(f, "text", "json") }

// Switch is on or off.
type Switch string

// The positions of a switch.
const (
	On  Switch = "on"
	Off Switch = "off"
)

func (s Switch) check() error { return oneOf(s, On, Off) }

// RosterMode says who is in everybody's contact list.
type RosterMode string

// The roster modes.
const (
	RosterAuto   RosterMode = "auto"
	RosterAll    RosterMode = "all"
	RosterGroups RosterMode = "groups"
	RosterOff    RosterMode = "off"
)

func (m RosterMode) check() error {
	return oneOf(m, RosterAuto, RosterAll, RosterGroups, RosterOff)
}

// RoomCreators says who may make rooms.
type RoomCreators string

// Who may make rooms.
const (
	RoomsByAdmins RoomCreators = "admins"
	RoomsByUsers  RoomCreators = "users"
)

func (c RoomCreators) check() error { return oneOf(c, RoomsByAdmins, RoomsByUsers) }

// NodeCreators says who may make nodes at the publish-subscribe service.
type NodeCreators string

// Who may make nodes.
const (
	NodesByUsers  NodeCreators = "users"
	NodesByAdmins NodeCreators = "admins"
	NodesByNobody NodeCreators = "nobody"
)

func (c NodeCreators) check() error { return oneOf(c, NodesByUsers, NodesByAdmins, NodesByNobody) }

func oneOf[T ~string](v T, values ...T) error {
	if slices.Contains(values, v) {
		return nil
	}
	words := make([]string, len(values))
	for i, w := range values {
		words[i] = string(w)
	}
	last := len(words) - 1
	return fmt.Errorf("%q is not one of %s or %s", v, strings.Join(words[:last], ", "), words[last])
}
