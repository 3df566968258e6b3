package ipvs

import (
	"errors"
	"fmt"
)

// To read all virtual servers at once takes the kernel a time that is quadratic in their number: it finds each page by
// counting from the first one (ip_vs_genl_dump_services, net/netfilter/ipvs/ip_vs_ctl.c). Where they are very many no
// change should wait for that. So an audit sweeps them: it reads a page, the real servers of that page, and then the next.
// What is written meanwhile is known anyway, and a page may not know it yet. What no page has told of is asked for.

// few is how many virtual servers are asked for by name at once.
const few = 16

// sweep is the reading of all virtual servers, page by page. The zero sweep is over.
type sweep struct {
	owned  func(Key) bool
	number uint8 // of the sweep; each virtual server keeps that of the last one that saw it
	seen   int
	first  bool // the next page is the first one
	more   bool // there is another page
	missed []Key
}

// BeginServers begins an audit: it is ResyncServers where that takes a short time, and begins to sweep the virtual
// servers otherwise. NextPage does the rest.
func (t *Table) BeginServers(owned func(Key) bool) (drift int, err error) {
	if len(t.servers) <= t.tooMany {
		return t.ResyncServers(owned)
	}
	t.sweep = sweep{owned: owned, number: t.sweep.number + 1, first: true, more: true}
	t.beginReals()
	t.reading = oneByOne
	return 0, nil
}

// PageDue reports that NextPage is to be called: the real servers of the page before have been read.
func (t *Table) PageDue() bool {
	return len(t.unread) == 0 && (t.sweep.more || len(t.sweep.missed) > 0)
}

// NextPage reads the next virtual servers of a sweep, and leaves their real servers to ResyncReals. It returns how many were
// not as the table believed.
func (t *Table) NextPage() (drift int, err error) {
	if !t.sweep.more {
		return t.askMissed()
	}
	t.messages++
	page, more, err := t.kernel.MoreServers(t.sweep.first)
	t.sweep.first, t.sweep.more = false, more
	if err != nil {
		return 0, fmt.Errorf("read virtual servers: %w", err)
	}
	var errs []error
	for k, v := range page {
		switch s := t.servers[k]; {
		case s != nil && s.there && s.swept == t.sweep.number: // written meanwhile
		case s != nil && s.there:
			drift += t.sweepOne(k, s, v)
		case t.Desires(k) || t.sweep.owned(k):
			errs = append(errs, t.adoptOne(k)) // unless it has been deleted meanwhile
		}
	}
	if !more {
		t.findMissed()
	}
	return drift, errors.Join(errs...)
}

func (t *Table) sweepOne(k Key, s *server, v VirtualServer) (drift int) {
	if v != s.actual {
		drift++
	}
	t.setActual(k, v)
	t.unread[k] = struct{}{}
	return drift
}

// adoptOne takes over a virtual server that was not known, if it is there.
func (t *Table) adoptOne(k Key) error {
	v, there, err := t.readServer(k)
	if err != nil || !there {
		return err
	}
	return t.adopt([]Key{k}, map[Key]VirtualServer{k: v})
}

// findMissed finds what is believed to be there and was in no page.
func (t *Table) findMissed() {
	for k, s := range t.servers {
		if s.there && s.swept != t.sweep.number {
			t.sweep.missed = append(t.sweep.missed, k)
		}
	}
}

// askMissed asks for a few of what was in no page.
func (t *Table) askMissed() (drift int, err error) {
	n := min(few, len(t.sweep.missed))
	var errs []error
	for _, k := range t.sweep.missed[:n] {
		s := t.servers[k]
		if s == nil || !s.there || s.swept == t.sweep.number {
			continue
		}
		v, there, err := t.readServer(k)
		switch {
		case err != nil:
			errs = append(errs, err)
		case there:
			drift += t.sweepOne(k, s, v)
		default:
			drift++
			t.gone(k)
		}
	}
	t.sweep.missed = t.sweep.missed[n:]
	return drift, errors.Join(errs...)
}

func (t *Table) readServer(k Key) (VirtualServer, bool, error) {
	t.messages++
	v, there, err := t.kernel.Server(k)
	if err != nil {
		err = fmt.Errorf("read %s: %w", k, err)
	}
	return v, there, err
}
