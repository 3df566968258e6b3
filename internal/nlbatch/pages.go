package nlbatch

// Pages deals out what a map holds as the kernel does its dumps: a page is prepared when the one before is read, so it may be
// out of date by then. Other than there, nothing that is there all the time is left out. It is for fakes.
type Pages[K comparable, V any] struct {
	left     []K
	prepared map[K]V
}

// Begin begins anew, with these keys.
func (p *Pages[K, V]) Begin(keys []K, size int, read func(K) (V, bool)) {
	p.left = keys
	p.prepare(size, read)
}

// More returns the next page, of at most so many keys as the size was when it was prepared.
func (p *Pages[K, V]) More(size int, read func(K) (V, bool)) (page map[K]V, more bool) {
	page, more = p.prepared, len(p.left) > 0
	p.prepare(size, read)
	return page, more
}

func (p *Pages[K, V]) prepare(size int, read func(K) (V, bool)) {
	n := min(size, len(p.left))
	p.prepared = make(map[K]V)
	for _, k := range p.left[:n] {
		if v, ok := read(k); ok {
			p.prepared[k] = v
		}
	}
	p.left = p.left[n:]
}
