package ipvs

import "slices"

// Reschedules returns the virtual servers that are there with another scheduler than the desired one, in order, but for
// those of which a write has failed: see Upsert.
func (t *Table) Reschedules() (keys []Key) {
	for k, s := range t.dirty {
		if _, refused := t.refused[k]; !refused && s.reschedules() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}

// Reschedule has a virtual server go on with the desired scheduler, its flags and its persistence. Upsert leaves these
// alone as long as the scheduler is another one, for the kernel takes the old scheduler away before it gives the virtual server
// the new one, and waits in between until no processor uses it any more (ip_vs_edit_service,
// net/netfilter/ipvs/ip_vs_ctl.c). For that time, some milliseconds, a virtual server has no scheduler, and whoever opens a
// connection is refused. The caller keeps them away.
func (t *Table) Reschedule(k Key) error {
	s := t.servers[k]
	if s == nil || !s.reschedules() {
		return nil
	}
	return t.apply([]Op{{Verb: EditServer, Key: k, Server: s.desired}}, t.refused)
}
