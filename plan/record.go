package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// Recorder takes down what is written to copies of a kernel's state, and succeeds. One goroutine owns it, that
// which writes.
//
// The tables write what is pending in no order where there need be none. What is taken down is sorted there, so
// that two plans of the same are the same.
type Recorder struct {
	state  State
	before *ipvs.Fake
	device string
	probe  func(scheduler string) error
	writes []Write
}

// NewRecorder returns a recorder over a state, which it changes. The device is that of the VIPs, by name. probe
// tells whether the kernel has a scheduler.
func NewRecorder(s State, device string, probe func(scheduler string) error) (*Recorder, error) {
	before, err := ipvs.Copy(s.IPVS)
	r := &Recorder{state: s, before: before, device: shellWord(device), probe: probe}
	s.Masq.Restored = r.restored
	return r, err
}

// shellWord quotes what a shell would not take for a word.
func shellWord(text string) string {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-@+", r)
	}
	if !strings.ContainsFunc(text, odd) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// Plan returns what has been taken down.
func (r *Recorder) Plan() (*Plan, error) {
	moved, err := moves(r.before, r.state.IPVS)
	return &Plan{Writes: slices.Concat([]Write{}, r.writes), Moved: moved}, err
}

// IPVS returns the kernel to write virtual servers to.
func (r *Recorder) IPVS() ipvs.Kernel { return servers{r.state.IPVS, r} }

// Dummyif returns the kernel to bind VIPs in.
func (r *Recorder) Dummyif() dummyif.Kernel { return device{r.state.Dummyif, r} }

// Masq returns the kernel to write rules and sets to.
func (r *Recorder) Masq() masq.Kernel { return rules{r.state.Masq, r} }

func (r *Recorder) add(pkg, verb, line string, about ipvs.Key) {
	r.writes = append(r.writes, Write{Package: pkg, Verb: verb, Line: line, key: about})
}

type servers struct {
	*ipvs.Fake
	recorder *Recorder
}

func (s servers) ProbeScheduler(scheduler string) error { return s.recorder.probe(scheduler) }

func (s servers) Apply(ops []ipvs.Op) []error {
	errs := s.Fake.Apply(ops)
	done := succeeded(ops, errs)
	slices.SortStableFunc(done, func(a, b ipvs.Op) int { return a.Key.Compare(b.Key) })
	for _, op := range done {
		s.recorder.add("ipvs", verbOf(op.Verb), "ipvsadm "+op.String(), op.Key)
	}
	return errs
}

func verbOf(v ipvs.Verb) string {
	return map[ipvs.Verb]string{
		ipvs.AddServer: "add-server", ipvs.EditServer: "edit-server", ipvs.DeleteServer: "delete-server",
		ipvs.AddReal: "add-real", ipvs.EditReal: "edit-real", ipvs.DeleteReal: "delete-real",
	}[v]
}

type device struct {
	*dummyif.Fake
	recorder *Recorder
}

func (d device) Ensure() (bool, error) {
	state, err := d.State()
	if err != nil {
		return false, err
	}
	for _, line := range state.Commands(d.recorder.device) {
		d.recorder.add("dummyif", "ensure-device", line, ipvs.Key{})
	}
	return d.Fake.Ensure()
}

func (d device) Apply(ops []dummyif.Op) []error {
	errs := d.Fake.Apply(ops)
	done := succeeded(ops, errs)
	sortRuns(done, func(a, b dummyif.Op) bool { return a.Verb == b.Verb },
		func(a, b dummyif.Op) int { return a.Binding.Compare(b.Binding) })
	for _, op := range done {
		verb := map[dummyif.Verb]string{dummyif.Bind: "bind", dummyif.Unbind: "unbind"}[op.Verb]
		d.recorder.add("dummyif", verb, op.Command(d.recorder.device), ipvs.Key{})
	}
	return errs
}

type rules struct {
	*masq.Fake
	recorder *Recorder
}

func (r rules) EnsureSets() (bool, error) {
	missing, err := r.MissingSets()
	if err != nil {
		return false, err
	}
	for _, c := range missing {
		r.recorder.add("masq", "create-set", "ipset "+c.String(), ipvs.Key{})
	}
	return r.Fake.EnsureSets()
}

func (r rules) Apply(ops []masq.Op) []error {
	errs := r.Fake.Apply(ops)
	done := succeeded(ops, errs)
	sortRuns(done, func(a, b masq.Op) bool { return a.Entry.Set == b.Entry.Set && a.Delete == b.Delete },
		func(a, b masq.Op) int { return a.Entry.Compare(b.Entry) })
	for _, op := range done {
		verb, program := "add-entry", "ipset "
		if op.Delete {
			verb = "delete-entry"
		}
		if op.Mark != 0 && !op.Delete {
			program = "ipset -exist " // the entry may be there, with another mark
		}
		r.recorder.add("masq", verb, program+op.String(), serverOf(op.Entry))
	}
	return errs
}

// restored takes down rules as one write: they come all at once.
func (r *Recorder) restored(f masq.Family, input string) {
	program := "iptables-restore"
	if f == masq.IPv6 {
		program = "ip6tables-restore"
	}
	r.add("masq", "restore-rules", fmt.Sprintf("%s --noflush <<'EOF'\n%sEOF", program, input), ipvs.Key{})
}

// serverOf names the virtual server that an entry is about, if it is about one.
func serverOf(e masq.Entry) ipvs.Key {
	if e.Port == 0 {
		return ipvs.Key{}
	}
	return ipvs.Key{Addr: netip.AddrPortFrom(e.Addr, e.Port), Protocol: ipvs.Protocol(e.Protocol)}
}

// succeeded returns the operations that had no error.
func succeeded[Op any](ops []Op, errs []error) (done []Op) {
	for i, op := range ops {
		if errs == nil || errs[i] == nil {
			done = append(done, op)
		}
	}
	return done
}

// sortRuns sorts what stands together and may come in any order.
func sortRuns[Op any](ops []Op, alike func(a, b Op) bool, compare func(a, b Op) int) {
	for first := 0; first < len(ops); {
		end := first + 1
		for end < len(ops) && alike(ops[first], ops[end]) {
			end++
		}
		slices.SortStableFunc(ops[first:end], compare)
		first = end
	}
}
