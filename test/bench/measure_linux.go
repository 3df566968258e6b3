package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// measurement measures every subject at one size, one after the other.
type measurement struct {
	plan
	part
	effort  effort
	cluster *cluster
	record  *record
	dir     string // for configurations and logs

	ours *session // Fairlead's, stopped: its network stays, and the peers' data path is compared with its own
}

// session is one subject's turn.
type session struct {
	*measurement
	subject Subject
	site    *site
	run     *process // nil: not started
	runs    int

	row  string  // that is being measured
	idle float64 // part of a core that the subject uses when nothing happens, as far as measured
}

// errNotServed says that the subject did not come up in time, so that nothing more can be asked of it.
var errNotServed = errors.New("not everything was served in time")

// rows are what is done with a subject, in the order of rowNames.
var rows = map[string]func(context.Context, *session) error{
	"cold": cold, "idle": idle, "change": changes, "burst": burst,
	"restart": restart, "wide": wide, "datapath": datapath,
}

// all measures the floor and the subjects. A subject that fails does not keep the others from their turn.
func (m *measurement) all(ctx context.Context) (err error) {
	if m.effort.warm {
		if err := m.warm(ctx); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	var errs []error
	if m.wantsSubject(floorName) && (m.wide == 0 || m.quick) {
		if err := m.floor(ctx); err != nil {
			errs = append(errs, fmt.Errorf("floor: %w", err))
		}
	}
	defer func() {
		if m.ours != nil {
			err = errors.Join(err, m.ours.site.close())
		}
	}()
	for _, s := range subjects() {
		if ctx.Err() != nil {
			break
		}
		if err := m.one(ctx, s); err != nil {
			m.record.say("%s failed: %v", s.Name, err)
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

// one measures one subject in a network of its own.
func (m *measurement) one(ctx context.Context, subject Subject) (err error) {
	todo := m.order(m.plan, subject.Name)
	if len(todo) == 0 {
		return nil
	}
	s := &session{measurement: m, subject: subject}
	if s.site, err = newSite(ctx, m.cluster); err != nil {
		return err
	}
	defer func() {
		if m.ours != s {
			err = errors.Join(err, s.site.close())
		}
	}()
	for _, row := range todo {
		m.record.say("%s, %d Services: %s", subject.Name, m.services, row)
		if err := s.measure(ctx, row); errors.Is(err, errNotServed) {
			m.record.say("%s: %v; its other rows are left out", subject.Name, err)
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", row, err)
		}
	}
	return nil
}

// measure measures one row within its time limit.
func (s *session) measure(ctx context.Context, row string) error {
	limit := s.effort.limits[row] * time.Duration(s.times())
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer cancel()
	s.row = row
	if s.run == nil && row != "cold" {
		if err := s.come(ctx); err != nil {
			return err
		}
	}
	return rows[row](ctx, s)
}

// times is how many times as much is done with this subject of what depends on luck: where three slow changes of three
// hundred decide, and one burst is all there is.
func (s *session) times() int {
	if s.subject.fairlead {
		return s.effort.times
	}
	return 1
}

// errTimeLimit says that a row took longer than it may. Rows turn it into a sample that says "more than".
var errTimeLimit = errors.New("the time limit of the row")

func limited(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errTimeLimit) }

// start starts the subject, anew if it ran before.
func (s *session) start() (err error) {
	path, err := s.subject.path()
	if err != nil {
		return err
	}
	args, err := s.subject.args(s.cluster.kubeconfig, s.dir)
	if err != nil {
		return err
	}
	s.runs++
	log := filepath.Join(s.dir, fmt.Sprintf("%s-%d-%d.log", s.subject.Name, s.services, s.runs))
	s.run, err = startProcess(s.site.near.Namespace, log, path, args...)
	return err
}

// come starts the subject and waits until it serves.
func (s *session) come(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	ctx, stop := s.run.watch(ctx)
	defer stop()
	if err := s.site.served(ctx, s.sampled(), func(int, time.Time) {}); err != nil {
		return err
	}
	return s.settle(ctx)
}

// settle waits until the subject is quiet, or for half of what is left of the row's time.
func (s *session) settle(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	half := time.Minute
	if ok {
		half = time.Until(deadline) / 2
	}
	ctx, cancel := context.WithTimeoutCause(ctx, half, errTimeLimit)
	defer cancel()
	if err := s.run.quiet(ctx, s.effort.quiet); err != nil && !limited(ctx) {
		return err
	}
	return nil
}

// sampled are the VIPs that stand for all: evenly spread, the first and the last among them.
func (s *session) sampled() (vips []netip.AddrPort) {
	for _, i := range spread(s.services, s.effort.samples) {
		vips = append(vips, dataset.VIP(i))
	}
	if s.wide > 0 {
		vips = append(vips, dataset.WideVIP)
	}
	return vips
}

// add keeps a sample of the row that is being measured.
func (s *session) add(metric, unit string, value float64) error {
	return s.record.add(s.sample(metric, unit, value))
}

// addMore keeps the sample of something that did not come to its end within the time limit.
func (s *session) addMore(metric, unit string, value float64, note string) error {
	sample := s.sample(metric, unit, value)
	sample.More, sample.Note = true, note
	return s.record.add(sample)
}

func (s *session) sample(metric, unit string, value float64) result.Sample {
	return result.Sample{Row: s.row, Subject: s.subject.Name, Services: s.services, Metric: metric, Unit: unit, Value: value}
}

// warm has the tools and modules loaded that subjects use, so that the one that comes first does not pay for what the next
// ones find in memory. And it has each subject run for a moment: the emulator translates a program when it runs for the first
// time, which takes it longer than the program itself needs.
func (m *measurement) warm(ctx context.Context) error {
	site, err := newSite(ctx, m.cluster)
	if err != nil {
		return err
	}
	for _, command := range [][]string{
		{"modprobe", "-a", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack", "nf_tables", "nft_chain_nat", "nft_numgen",
			"nft_masq", "nft_fib_inet", "nft_compat", "xt_set", "xt_comment", "xt_mark", "xt_statistic", "xt_MASQUERADE",
			"xt_conntrack", "xt_addrtype", "ip_set_hash_ip", "ip_set_hash_ipport", "ip_set_hash_net", "ip_set_hash_netnet",
			"ip_set_hash_ipportip", "ip_set_hash_ipportnet", "ip_set_bitmap_port"},
		{"iptables-save"}, {"ip6tables-save"}, {"ipset", "list", "-n"}, {"nft", "list", "tables"}, {"conntrack", "-C"}, {"ipvsadm", "-Sn"},
	} {
		if _, err := site.near.Run(ctx, command[0], command[1:]...); err != nil {
			m.record.say("warming up: %v", err) // what is needed will be missed later
		}
	}
	if err := site.close(); err != nil {
		return err
	}
	for _, s := range subjects() {
		if len(m.order(m.plan, s.Name)) == 0 {
			continue
		}
		m.record.say("warming up: %s", s.Name)
		if err := m.rehearse(ctx, s); err != nil {
			m.record.say("warming up: %s: %v", s.Name, err)
		}
	}
	return nil
}

// rehearsal is how long a subject runs beforehand, if it does not serve earlier.
const rehearsal = 10 * time.Second

// rehearse has the subject serve once.
func (m *measurement) rehearse(ctx context.Context, subject Subject) error {
	ctx, cancel := context.WithTimeoutCause(ctx, rehearsal, errTimeLimit)
	defer cancel()
	return m.aside(ctx, subject, func(s *session) error {
		err := s.site.served(ctx, s.sampled(), func(int, time.Time) {})
		if limited(ctx) {
			return nil
		}
		return err
	})
}

// aside starts the subject in a network of its own, of which nothing stays, and stops it after f.
func (m *measurement) aside(ctx context.Context, subject Subject, f func(*session) error) (err error) {
	s := &session{measurement: m, subject: subject}
	if s.site, err = newSite(ctx, m.cluster); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.site.close()) }()
	if err := s.start(); err != nil {
		return err
	}
	return errors.Join(f(s), s.run.stop())
}
