package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Write prints findings for people, one in a line, with what to do below, and a line of counts. Colors are for a
// terminal.
func Write(out io.Writer, all []Finding, colors bool) error {
	width := 0
	for _, f := range all {
		width = max(width, len(f.Check))
	}
	var text strings.Builder
	for _, f := range all {
		fmt.Fprintf(&text, "%s%s  %-*s  %s\n", f.Verdict.colored(colors), pad(f.Verdict), width, f.Check, f.Evidence)
		if f.Do != "" {
			fmt.Fprintf(&text, "%*s  do: %s\n", verdictWidth+2+width, "", f.Do)
		}
	}
	var counts []string
	for _, v := range Verdicts() {
		n := Count(all, v)
		word := string(v)
		if (v == Problem || v == Warning || v == Note) && n != 1 {
			word += "s"
		}
		counts = append(counts, fmt.Sprintf("%d %s", n, word))
	}
	fmt.Fprintf(&text, "\n%s\n", strings.Join(counts, ", "))
	_, err := io.WriteString(out, text.String())
	return err
}

const verdictWidth = len(Problem)

func pad(v Verdict) string { return strings.Repeat(" ", verdictWidth-len(v)) }

// colored returns the verdict as a terminal shows it.
func (v Verdict) colored(colors bool) string {
	code := map[Verdict]string{Problem: "1;31", Warning: "33", Unknown: "35", Note: "36", OK: "32"}[v]
	if !colors {
		return string(v)
	}
	return "\x1b[" + code + "m" + string(v) + "\x1b[0m"
}
