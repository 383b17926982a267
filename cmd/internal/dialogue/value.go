package dialogue

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// stampPattern is XEP-0082's DateTime in UTC, the form that XEP-0203 and XEP-0313 ask for.
const stampPattern = `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z`

// stampSlack is how far a received stamp may be from the {now} of a pattern: the clock runs on, and
// stamps without fractions are cut.
const stampSlack = time.Minute

// part is a piece of a value in a script: literal text (kind "") or a placeholder.
type part struct {
	kind string // "", any, store, not, re, time, now, var, base64, decoded, sha1, hmac, hex, repeat
	text string // the literal, or what stands after the kind
}

var (
	varName = regexp.MustCompile(`^[\pL0-9][\pL0-9@._/' -]*$`)
	nowForm = regexp.MustCompile(`^now([+-][0-9a-z.]+)?$`)
)

// parts cuts a value at its placeholders. Unknown ones are mistakes of the script.
func parts(value string) ([]part, error) {
	var ps []part
	for value != "" {
		i := strings.IndexByte(value, '{')
		if i < 0 {
			return append(ps, part{text: value}), nil
		}
		if i > 0 {
			ps = append(ps, part{text: value[:i]})
		}
		n := closing(value[i:])
		if n < 0 {
			return nil, fmt.Errorf("{ without } in %q", value)
		}
		p, err := placeholder(value[i+1 : i+n])
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
		value = value[i+n+1:]
	}
	return ps, nil
}

// closing returns where the brace that opens s is closed again, or -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func placeholder(s string) (part, error) {
	if kind, text, ok := strings.Cut(s, ":"); ok {
		switch kind {
		case "store", "not":
			if !varName.MatchString(text) {
				return part{}, fmt.Errorf("{%s} is no name", s)
			}
			return part{kind, text}, nil
		case "re":
			_, err := regexp.Compile(text)
			return part{kind, text}, err
		case "base64", "sha1", "decoded":
			_, err := parts(text)
			return part{kind, text}, err
		case "hex":
			_, err := hex.DecodeString(text)
			return part{kind, text}, err
		case "hmac":
			if !strings.Contains(text, ":") {
				return part{}, fmt.Errorf("{%s} is not {hmac:key:text}", s)
			}
			_, err := parts(text)
			return part{kind, text}, err
		case "repeat":
			count, _, ok := strings.Cut(text, ":")
			if _, err := strconv.Atoi(count); err != nil || !ok {
				return part{}, fmt.Errorf("{%s} is not {repeat:N:text}", s)
			}
			return part{kind, text}, nil
		}
		return part{}, fmt.Errorf("no placeholder is called {%s:…}", kind)
	}
	switch {
	case s == "any" || s == "time":
		return part{kind: s}, nil
	case nowForm.MatchString(s):
		_, err := nowOffset(s)
		return part{kind: "now", text: s}, err
	case varName.MatchString(s):
		return part{kind: "var", text: s}, nil
	}
	return part{}, fmt.Errorf("no placeholder is called {%s}", s)
}

func nowOffset(s string) (time.Duration, error) {
	if s == "now" {
		return 0, nil
	}
	return time.ParseDuration(s[len("now"):])
}

// scope of a running script: what is stored, and the time.
type env struct {
	vars map[string]string
	now  func() time.Time
}

func (e *env) lookup(name string) (string, error) {
	v, ok := e.vars[name]
	if !ok {
		return "", fmt.Errorf("nothing is known as {%s} here", name)
	}
	return v, nil
}

// expand returns the value that the parts stand for in something to be sent.
func (e *env) expand(value string) (string, error) {
	ps, err := parts(value)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range ps {
		s, ok, err := e.fixed(p)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", fmt.Errorf("{%s} can be received, not sent", p.kind)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// fixed returns the text of a part that stands for one text only.
func (e *env) fixed(p part) (text string, ok bool, err error) {
	switch p.kind {
	case "":
		return p.text, true, nil
	case "var":
		s, err := e.lookup(p.text)
		return s, true, err
	case "base64", "sha1":
		s, err := e.expand(strings.ReplaceAll(p.text, `\0`, "\x00"))
		if p.kind == "sha1" {
			sum := sha1.Sum([]byte(s))
			s = string(sum[:])
		}
		return base64.StdEncoding.EncodeToString([]byte(s)), true, err
	case "hmac":
		i := strings.LastIndexByte(p.text, ':')
		key, err := e.expand(p.text[:i])
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(p.text[i+1:]))
		return string(mac.Sum(nil)), true, err
	case "hex":
		b, err := hex.DecodeString(p.text)
		return string(b), true, err
	case "repeat":
		count, text, _ := strings.Cut(p.text, ":")
		n, err := strconv.Atoi(count)
		if err != nil {
			return "", true, err
		}
		text, err = e.expand(text)
		return strings.Repeat(text, n), true, err
	case "now":
		offset, err := nowOffset(p.text)
		return e.now().Add(offset).UTC().Format("2006-01-02T15:04:05.000000Z"), true, err
	}
	return "", false, nil
}

// match tells whether got is what the value stands for, and keeps what it says to store. An error
// is a mistake of the script.
func (e *env) match(value, got string) (bool, error) {
	ps, err := parts(value)
	if err != nil {
		return false, err
	}
	var expr strings.Builder
	var groups []part // what the groups of expr capture
	expr.WriteString(`(?s)\A`)
	for _, p := range ps {
		switch p.kind {
		case "any":
			expr.WriteString(`.+`)
		case "time":
			expr.WriteString(stampPattern)
		case "re":
			fmt.Fprintf(&expr, `(?:%s)`, p.text)
		case "now":
			expr.WriteString(`(?P<g>` + stampPattern + `)`)
			groups = append(groups, p)
		case "decoded":
			expr.WriteString(`(?P<g>[A-Za-z0-9+/]+=*)`)
			groups = append(groups, p)
		case "store", "not":
			expr.WriteString(`(?P<g>.+)`)
			groups = append(groups, p)
		default:
			s, _, err := e.fixed(p)
			if err != nil {
				return false, err
			}
			expr.WriteString(regexp.QuoteMeta(s))
		}
	}
	re, err := regexp.Compile(expr.String() + `\z`)
	if err != nil {
		return false, err
	}
	found := re.FindStringSubmatch(got)
	if found == nil {
		return false, nil
	}
	i := 0
	for j, name := range re.SubexpNames() {
		if name != "g" {
			continue
		}
		if ok, err := e.capture(groups[i], found[j]); !ok || err != nil {
			return false, err
		}
		i++
	}
	return true, nil
}

func (e *env) capture(p part, got string) (bool, error) {
	switch p.kind {
	case "store":
		e.vars[p.text] = got
		return true, nil
	case "not":
		v, err := e.lookup(p.text)
		return got != v, err
	case "decoded":
		b, err := base64.StdEncoding.DecodeString(got)
		if err != nil {
			return false, nil
		}
		return e.match(p.text, string(b))
	}
	stamp, err := time.Parse(time.RFC3339Nano, got)
	if err != nil {
		return false, nil
	}
	offset, err := nowOffset(p.text)
	return stamp.Sub(e.now().Add(offset)).Abs() <= stampSlack, err
}

// expandXML is expand for a piece of XML: what variables hold is escaped, and the braces of text that
// is no placeholder stay an error.
func (e *env) expandXML(text string) (string, error) {
	escaped := &env{vars: make(map[string]string, len(e.vars)), now: e.now}
	for name, value := range e.vars {
		escaped.vars[name] = escape(value)
	}
	return escaped.expand(text)
}
