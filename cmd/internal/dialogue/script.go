package dialogue

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// script is a parsed file.
type script struct {
	file  string
	title string
	scene Scene
	// steps are in order; what the Given lines ask of the cast comes first.
	steps []step
}

// takesTime reports whether time passes in the script.
func (s *script) takesTime() bool {
	return slices.ContainsFunc(s.steps, func(at step) bool { return strings.HasPrefix(at.text, "time passes") })
}

// step is one line of a script with what is indented below it.
type step struct {
	line int
	text string // as written
	who  string // the speaker, if it has one
	do   func(p *play) error
}

// scriptError is a mistake in a script.
type scriptError struct {
	file string
	line int
	err  error
}

func (e *scriptError) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err) }

func readScript(file string) (*script, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseScript(file, string(data))
}

func parseScript(file, text string) (*script, error) {
	s := &script{file: file}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " \t\r")
		at := i + 1
		switch {
		case line == "":
			continue
		case strings.HasPrefix(line, "#"):
			if s.title == "" {
				s.title = strings.TrimSpace(strings.TrimLeft(line, "#"))
			}
			continue
		case line[0] == ' ' || line[0] == '\t':
			return nil, &scriptError{file, at, errors.New("indented, but below nothing")}
		}
		block, hasBlock, next := readBlock(lines, i+1)
		i = next - 1
		if err := s.add(at, line, block, hasBlock); err != nil {
			return nil, &scriptError{file, at, err}
		}
	}
	switch {
	case s.title == "":
		return nil, &scriptError{file, 1, errors.New("the first line is to be a comment that says what this shows")}
	case len(s.scene.Domains) == 0:
		return nil, &scriptError{file, 1, errors.New("no domain is given")}
	case len(s.steps) == 0:
		return nil, &scriptError{file, 1, errors.New("nothing happens")}
	}
	return s, nil
}

// readBlock takes the indented lines from lines[i] on, without their common indentation.
func readBlock(lines []string, i int) (block string, ok bool, next int) {
	var found []string
	for ; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], "\r")
		if strings.TrimSpace(line) != "" && line[0] != ' ' && line[0] != '\t' {
			break
		}
		found = append(found, line)
	}
	for len(found) > 0 && strings.TrimSpace(found[len(found)-1]) == "" {
		found = found[:len(found)-1]
	}
	common := -1
	for _, line := range found {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if n := len(line) - len(strings.TrimLeft(line, " \t")); common < 0 || n < common {
			common = n
		}
	}
	for j, line := range found {
		found[j] = line[min(max(common, 0), len(line)):]
	}
	return strings.Join(found, "\n"), len(found) > 0, i
}

// phrase is a form that a line may have. Its groups are handed to make, with the indented block last.
type phrase struct {
	form  *regexp.Regexp
	block blockUse
	make  func(s *script, at step, arg []string) error
}

type blockUse int

const (
	noBlock blockUse = iota
	needsBlock
	mayHaveBlock
)

func (s *script) add(line int, text, block string, hasBlock bool) error {
	for _, p := range phrases {
		found := p.form.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		switch {
		case p.block == needsBlock && !hasBlock:
			return fmt.Errorf("%q: what follows is to be indented below it", text)
		case p.block == noBlock && hasBlock:
			return fmt.Errorf("%q: nothing belongs below it", text)
		}
		return p.make(s, step{line: line, text: text}, append(found[1:], block))
	}
	return fmt.Errorf("not understood: %q", text)
}

// names reads "romeo, juliet and nurse".
func names(list string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(list, " and ", ","), func(r rune) bool { return r == ',' || r == ' ' })
}

func form(expr string) *regexp.Regexp { return regexp.MustCompile(`^` + expr + `$`) }

func (s *script) aboutUser(name string, change func(*User)) error {
	if len(s.scene.Domains) == 0 {
		return errors.New("no domain is given")
	}
	u := s.scene.user(name)
	if u == nil {
		return fmt.Errorf("nobody is called %s", name)
	}
	change(u)
	return nil
}

func (s *script) step(at step, do func(p *play) error) error {
	if len(s.scene.Domains) == 0 {
		return errors.New("no domain is given")
	}
	at.do = do
	s.steps = append(s.steps, at)
	return nil
}

// by adds a step of a speaker.
func (s *script) by(who string, at step, do func(p *play) error) error {
	at.who = who
	return s.step(at, do)
}

// hearing adds a step that expects the patterns of a block.
func (s *script) hearing(who string, at step, block string, do func(p *play, ps []*pattern) error) error {
	ps, err := parsePatterns(block)
	if err != nil {
		return err
	}
	return s.by(who, at, func(p *play) error { return do(p, ps) })
}
