package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// visible is text that a terminal may have: what is not printable is written as in a Go string, such as \x1b or \n.
// Names, annotations and the errors about them are somebody else's, and must neither command the operator's terminal
// nor forge a line of the output.
func visible(text string) string {
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }

// say is fmt.Fprintf, but the strings among the arguments are made visible. The format's own tabs and line ends stay.
func say(w io.Writer, format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = visible(text)
		}
	}
	fmt.Fprintf(w, format, args...)
}
