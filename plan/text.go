package plan

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
)

// Text writes the plan for people and for a shell: everything that is no command is a comment.
func (p *Plan) Text(w io.Writer) error {
	out := bufio.NewWriter(w)
	section := ""
	for _, write := range p.Writes {
		if write.Package != section {
			section = write.Package
			fmt.Fprintf(out, "# %s: %s\n", section, headings()[section])
		}
		fmt.Fprintln(out, write.text())
	}
	p.remarks(out)
	return out.Flush()
}

// Sum is how much a plan is.
type Sum struct {
	Writes int            `json:"writes"`
	Kinds  map[string]int `json:"kinds"` // by package and verb
	Moved  []Moved        `json:"moved"`
	Later  Later          `json:"later"`

	KubeProxy KubeProxy `json:"kubeProxy"`
}

// Sum returns how much the plan is.
func (p *Plan) Sum() Sum {
	s := Sum{Writes: len(p.Writes), Kinds: make(map[string]int), Moved: p.Moved, Later: p.Later, KubeProxy: p.KubeProxy}
	for _, w := range p.Writes {
		s.Kinds[w.kind()]++
	}
	return s
}

func (w Write) kind() string { return w.Package + " " + w.Verb }

// Summary writes how much the plan is.
func (p *Plan) Summary(w io.Writer) error {
	out := bufio.NewWriter(w)
	p.remarks(out)
	return out.Flush()
}

func headings() map[string]string {
	return map[string]string{
		"host":    "timeouts and sysctls",
		"masq":    "rules, sets and their entries",
		"ipvs":    "virtual servers and their real servers",
		"dummyif": "VIPs",
	}
}

// text is the line with what is known about it. What is not printable, as names of Services in a file may hold,
// must not end the comment.
func (w Write) text() string {
	about := w.Service
	if about == "" {
		about = w.Why
	}
	if about == "" {
		return w.Line
	}
	return w.Line + " # " + printable(about)
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// remarks tell what the commands do not. The last line says how many commands there are.
func (p *Plan) remarks(out io.Writer) {
	for _, m := range p.Moved {
		fmt.Fprintf(out, "# %s\n", printable(m.String()))
	}
	if p.Later != (Later{}) {
		fmt.Fprintf(out, "# then, %s: %s and %s would be deleted, with what belongs to them\n", p.Later.When,
			count(p.Later.VirtualServers, "virtual server"), count(p.Later.RealServers, "real server"))
	}
	if k := p.KubeProxy; len(k.Remove) > 0 {
		fmt.Fprintf(out, "# then, when everything is in force and no kube-proxy runs: what kube-proxy left would be removed: %s\n", strings.Join(k.Remove, ", "))
		if len(k.Running) > 0 {
			fmt.Fprintf(out, "# which is left alone now, for there is %s\n", strings.Join(k.Running, ", "))
		}
	}
	if len(p.Writes) > 0 {
		fmt.Fprintf(out, "# %s: %s\n", count(len(p.Writes), "write"), p.counts())
		return
	}
	if p.Empty() {
		fmt.Fprintln(out, "# Nothing to do: the kernel is as it should be.")
	}
}

// counts lists how many writes there are of each kind, in the order in which the kinds come up.
func (p *Plan) counts() string {
	kinds := p.Sum().Kinds
	var order []string
	for _, w := range p.Writes {
		if n, first := kinds[w.kind()]; first {
			order = append(order, fmt.Sprintf("%d %s", n, w.kind()))
			delete(kinds, w.kind())
		}
	}
	return strings.Join(order, ", ")
}

// String says how many clients move, and where.
func (m Moved) String() string {
	where := m.Server
	if m.Service != "" {
		where += " of " + m.Service
	}
	scheduler := m.To
	if m.From != m.To {
		scheduler = m.From + " before, " + m.To + " then"
	}
	return fmt.Sprintf("at %s (%s), %s of the clients would meet another real server when they come again", where, scheduler, percent(m.Share))
}

func percent(share float64) string {
	if share > 0 && share < 0.005 {
		return "less than 1 %"
	}
	return fmt.Sprintf("about %d %%", int(math.Round(share*100)))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
