package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML returns the root of the one document in data, nil if there is
// nothing in it. Its errors name file and line.
func parseYAML(name string, data []byte) (*yaml.Node, error) {
	if line := notText(data); line > 0 {
		return nil, fmt.Errorf("%s:%d: not a text file in UTF-8, so not YAML", name, line)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root *yaml.Node
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return root, nil
		case err != nil:
			return nil, yamlError(name, data, err)
		}
		content := document.Content[0]
		switch {
		case content.ShortTag() == "!!null":
		case root != nil:
			return nil, fmt.Errorf("%s:%d: a second YAML document; only one is read", name, content.Line)
		default:
			root = content
		}
	}
}

// notText returns the first line that holds what no text file holds, or 0. The
// YAML parser refuses it too, but does not say where.
func notText(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		control := r < ' ' && r != '\t' && r != '\n' && r != '\r'
		if control || r == 0x7f || r == utf8.RuneError && size == 1 {
			return 1 + bytes.Count(data[:i], []byte("\n"))
		}
		i += size
	}
	return 0
}

// yamlError makes "FILE:LINE: what is wrong" of the parser's "yaml: line LINE:
// what is wrong".
func yamlError(name string, data []byte, err error) error {
	line, message := yamlErrorLine(data, strings.TrimPrefix(err.Error(), "yaml: "))
	if n := tabIndented(data); n > 0 {
		message += fmt.Sprintf(" (line %d is indented with a tab; YAML wants spaces)", n)
	}
	return fmt.Errorf("%s:%d: not valid YAML: %s", name, line, message)
}

// yamlErrorLine splits a message of the parser into the line and the rest. The
// parser leaves the line out when it is the first, counts from 0 in what its
// grammar complains about and from 1 in what its scanner does (parserc.go and
// fail in decode.go of go.yaml.in/yaml/v3), and gives none for an anchor.
func yamlErrorLine(data []byte, message string) (int, string) {
	line := 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
		grammar := regexp.MustCompile(`^did not find expected (key|'-' indicator|',' or|node content|<)`)
		if grammar.MatchString(message) {
			line++
		}
	}
	if m := regexp.MustCompile(`^unknown anchor '(.*)' referenced`).FindStringSubmatch(message); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	}
	lines := bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n")) + 1
	return min(line, lines), message
}

// tabIndented returns the first line with a tab in its indentation, or 0.
func tabIndented(data []byte) int {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if bytes.ContainsRune(indent, '\t') {
			return number
		}
	}
	return 0
}
