package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// EnvPrefix starts the name of every environment variable that confab reads.
const EnvPrefix = "CONFAB_"

// Source says where the settings are to be read from. Load can be called again
// and again: that is what a reload does.
type Source struct {
	Flags map[string]string // by the name of the flag; only those that were given
	Env   []string          // as os.Environ returns it
	File  string            // the settings file; "" means confab.toml in the data folder, which need not exist
}

// Loaded are settings and where each of them comes from.
type Loaded struct {
	*Settings
	File     string            // the settings file, whether it exists or not
	Exists   bool              // the file was there
	Origin   map[string]string // by the name of the setting: "default", the file with line and column, the variable or the flag
	Warnings []string
}

// Error lists everything that is wrong with the settings.
type Error struct{ Problems []string }

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

func (e *Error) add(where, format string, args ...any) {
	e.Problems = append(e.Problems, where+": "+fmt.Sprintf(format, args...))
}

// Load reads the settings. The error, if any, is an *Error, except that files
// which cannot be read give the error of package os.
func (src Source) Load() (*Loaded, error) {
	s := Default()
	l := &Loaded{Settings: s, Origin: make(map[string]string)}
	problems := new(Error)
	env := src.environment(l)
	fields := Fields(s)
	// The data folder comes first, as the file is in it.
	src.overlay(l, fields[:1], env, problems)
	if err := src.readFile(l, env, problems); err != nil {
		return nil, err
	}
	src.overlay(l, fields, env, problems)
	if len(problems.Problems) == 0 {
		l.check(problems)
	}
	if len(problems.Problems) > 0 {
		return nil, problems
	}
	abs, err := filepath.Abs(s.Data)
	if err != nil {
		return nil, err
	}
	s.Data = abs
	return l, nil
}

// environment picks confab's variables, and warns of those that mean nothing.
// They are no error: container platforms invent some from the service's name.
func (src Source) environment(l *Loaded) map[string]string {
	known := []string{EnvPrefix + "CONFIG"}
	for _, f := range Fields(l.Settings) {
		known = append(known, f.Env())
	}
	env := make(map[string]string)
	for _, kv := range src.Env {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) || value == "" {
			continue
		}
		if !slices.Contains(known, name) {
			if near := nearest(name, known, len(EnvPrefix)); near != "" {
				l.Warnings = append(l.Warnings, fmt.Sprintf("the environment variable %s means nothing to confab; %s would", name, near))
			}
			continue
		}
		env[name] = value
	}
	return env
}

func (src Source) overlay(l *Loaded, fields []Field, env map[string]string, problems *Error) {
	for _, f := range fields {
		where := "--" + f.Flag()
		text, ok := src.Flags[f.Flag()]
		if !ok {
			where = f.Env()
			if text, ok = env[where]; !ok {
				continue
			}
		}
		if err := f.Set(text); err != nil {
			problems.add(where, "%v", err)
			continue
		}
		l.Origin[f.Name] = where
	}
}

// readFile reads the settings file over the defaults.
func (src Source) readFile(l *Loaded, env map[string]string, problems *Error) error {
	l.File = src.File
	if l.File == "" {
		l.File = env[EnvPrefix+"CONFIG"]
	}
	explicit := l.File != ""
	if !explicit {
		l.File = filepath.Join(l.Data, FileName)
	}
	data, err := os.ReadFile(l.File)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !explicit:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &Error{[]string{fmt.Sprintf("there is no settings file %s: write one with 'confab config sample >%s', or leave --config and CONFAB_CONFIG away", l.File, l.File)}}
	case err != nil:
		return fmt.Errorf("the settings file cannot be read: %w%s", err, advice(err))
	}
	l.Exists = true
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // of an editor
	given := l.Origin["data"]
	decodeFile(l, data, problems)
	if given == "" && l.Origin["data"] != "" && !filepath.IsAbs(l.Data) {
		l.Data = filepath.Join(filepath.Dir(l.File), l.Data)
	}
	return nil
}

// decodeFile reads the text of the settings file and notes where it sets what.
func decodeFile(l *Loaded, data []byte, problems *Error) {
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	err := dec.Decode(l.Settings)
	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for i := range unknown.Errors {
			e := &unknown.Errors[i]
			problems.add(position(l.File, e), "%s", unknownKey(strings.Join(e.Key(), ".")))
		}
	case errors.As(err, &bad):
		name := strings.Join(bad.Key(), ".")
		if name != "" {
			name += ": "
		}
		problems.add(position(l.File, bad), "%s%s", name, plainTOMLError(bad))
	case err != nil: // of a number where text was read: the decoder tells no place
		problems.add(misread(l.File, data, err), "%v", err)
	default:
		for name, at := range keyPositions(data) {
			l.Origin[name] = at.in(l.File)
		}
	}
}

func position(file string, e *toml.DecodeError) string {
	line, column := e.Position()
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// misread is where a document has the value that a setting refused with err.
func misread(file string, data []byte, err error) string {
	found := keyPositions(data)
	for _, f := range Fields(Default()) {
		if at, ok := found[f.Name]; ok && at.scalar != "" {
			if refused := f.Set(at.scalar); refused != nil && refused.Error() == err.Error() {
				return at.in(file) + ": " + f.Name
			}
		}
	}
	return file
}

// plainTOMLError turns the decoder's words about Go types into words about
// the file.
func plainTOMLError(e *toml.DecodeError) string {
	name := strings.Join(e.Key(), ".")
	for _, section := range Sections(Default()) {
		if !strings.Contains(e.Error(), "cannot decode") {
			break
		}
		if section.Name == name && name != "" {
			return fmt.Sprintf("it is a table; write [%s], and its settings below", name)
		}
		for _, f := range section.Fields {
			if f.Name == name {
				return fmt.Sprintf("the value has the wrong type; it looks like this: %s = %s", f.Key(), f.example())
			}
		}
	}
	return strings.TrimPrefix(e.Error(), "toml: ")
}

// place is where a document sets a key, and to what unless that is a list or a table.
type place struct {
	unstable.Position
	scalar string
}

func (p place) in(file string) string { return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Column) }

// keyPositions finds where a document sets which key. The document is known to
// be good. A key that stands in an inline table is found at that table.
func keyPositions(data []byte) map[string]place {
	found := make(map[string]place)
	var p unstable.Parser
	p.Reset(data)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		var first unstable.Range
		for k := e.Key(); k.Next(); {
			if len(parts) == 0 {
				first = k.Node().Raw
			}
			parts = append(parts, string(k.Node().Data))
		}
		name := strings.Join(parts, ".")
		pos := p.Shape(first).Start
		switch e.Kind {
		case unstable.Table:
			table = name + "."
		case unstable.ArrayTable:
			table = name + "."
			if _, ok := found[name]; !ok {
				found[name] = place{Position: pos}
			}
		case unstable.KeyValue:
			note(found, table+name, e.Value(), pos)
		}
	}
	return found
}

// note notes the place of a value, and of what is in it.
func note(found map[string]place, name string, value *unstable.Node, pos unstable.Position) {
	switch value.Kind {
	case unstable.InlineTable:
		for c := value.Children(); c.Next(); {
			if k := c.Node().Key(); k.Next() {
				note(found, name+"."+string(k.Node().Data), c.Node().Value(), pos)
			}
		}
		fallthrough
	case unstable.Array:
		found[name] = place{Position: pos}
	default:
		found[name] = place{pos, string(value.Data)}
	}
}

// unknownKey says what to do about a key that is no setting.
func unknownKey(name string) string {
	var names []string
	for _, section := range Sections(Default()) {
		if section.Name != "" {
			names = append(names, section.Name)
		}
		for _, f := range section.Fields {
			names = append(names, f.Name)
			// The right key in the wrong table is the commonest mistake.
			if lastPart(name) == f.Key() && name != f.Name {
				return fmt.Sprintf("there is no setting %s; did you mean %s?", name, f.Name)
			}
		}
	}
	if near := nearest(name, names, 0); near != "" {
		return fmt.Sprintf("there is no setting %s; did you mean %s?", name, near)
	}
	return fmt.Sprintf("there is no setting %s; 'confab config sample' shows all there are", name)
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// nearest returns the candidate that is most like name, if at most a third of
// its letters differ; the first skip letters are the same in all.
func nearest(name string, candidates []string, skip int) string {
	best, distance := "", 1+(len(name)-skip)/3
	for _, c := range candidates {
		if d := editDistance(name, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance counts the letters to change, add, leave out or swap with their
// neighbour.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
