// Package delta keeps what is wanted and what is there side by side, so that the work between
// them is never computed: it is already known.
package delta

import "iter"

// Table holds, for each key, a desired and an actual value, and knows at every moment which keys
// differ. Setting a value costs O(1); finding the pending work costs O(pending), never O(table). What cannot be done
// for long is put on hold, and costs nothing either.
//
// The zero Table is ready to use. It is not safe for concurrent use: one goroutine owns it.
type Table[K, V comparable] struct {
	settled map[K]cell[V] // what is there just as desired: there may be very many
	pending map[K]row[V]  // the others
	onHold  map[K]row[V]  // but for those that Hold has set aside

	most, lately int // keys that the map of the pending ones has held: ever, and since it was last empty

	sweep uint8          // the number of the last sweep: see Sweep
	gone  map[K]struct{} // what has been taken from the actual side since it began; nil: it is over
}

type cell[V comparable] struct {
	value V
	swept uint8
}

type row[V comparable] struct {
	desired, actual       V
	hasDesired, hasActual bool
	swept                 uint8 // the last sweep during which the actual value was seen or set
}

func (r row[V]) settled() bool {
	return r.hasDesired == r.hasActual && r.desired == r.actual
}

// Expect makes room for so many keys where there are none yet. To grow to them step by step costs more than they do.
func (t *Table[K, V]) Expect(keys int) {
	if len(t.settled) == 0 {
		t.settled = make(map[K]cell[V], keys)
	}
}

// Set makes v the desired value of k.
func (t *Table[K, V]) Set(k K, v V) {
	before := t.row(k)
	after := before
	after.desired, after.hasDesired = v, true
	t.store(k, before, after)
}

// Unset makes k no longer desired.
func (t *Table[K, V]) Unset(k K) {
	before := t.row(k)
	after := row[V]{actual: before.actual, hasActual: before.hasActual, swept: before.swept}
	t.store(k, before, after)
}

// SetActual records that k is there, with value v.
func (t *Table[K, V]) SetActual(k K, v V) {
	before := t.row(k)
	after := before
	after.actual, after.hasActual, after.swept = v, true, t.sweep
	t.store(k, before, after)
}

// UnsetActual records that k is not there.
func (t *Table[K, V]) UnsetActual(k K) {
	before := t.row(k)
	after := row[V]{desired: before.desired, hasDesired: before.hasDesired}
	t.store(k, before, after)
	if t.gone != nil && before.hasActual {
		t.gone[k] = struct{}{}
	}
}

// row returns both sides of k.
func (t *Table[K, V]) row(k K) row[V] {
	if r, pending := t.pending[k]; pending {
		return r
	}
	if r, onHold := t.onHold[k]; onHold {
		return r
	}
	c, there := t.settled[k]
	return row[V]{c.value, c.value, there, there, c.swept}
}

// store puts the row of k where it belongs.
func (t *Table[K, V]) store(k K, before, after row[V]) {
	if after == before {
		return
	}
	if _, onHold := t.onHold[k]; onHold {
		if before.swept = after.swept; after == before { // it has been seen again
			t.onHold[k] = after
			return
		}
		t.unhold(k)
	}
	if !after.settled() {
		if before.settled() {
			delete(t.settled, k)
		}
		t.pend(k, after)
		return
	}
	if !before.settled() {
		t.unpend(k)
	}
	if !after.hasDesired {
		return
	}
	if t.settled == nil {
		t.settled = make(map[K]cell[V])
	}
	t.settled[k] = cell[V]{after.desired, after.swept}
}

func (t *Table[K, V]) pend(k K, r row[V]) {
	if t.pending == nil {
		t.pending = make(map[K]row[V])
	}
	t.pending[k] = r
	t.lately = max(t.lately, len(t.pending))
}

// unpend takes k from the pending keys. A map keeps the size that it once had, and ranging over few keys costs as much.
// So when it has become empty, and had much less to hold than ever before, it is dropped.
func (t *Table[K, V]) unpend(k K) {
	if delete(t.pending, k); len(t.pending) > 0 {
		return
	}
	t.most = max(t.most, t.lately)
	if t.lately < t.most/4 {
		t.pending, t.most = nil, 0
	}
	t.lately = 0
}

// Hold sets k aside, which is there and not desired: Prunes does not yield it until it is released or either side of it
// changes.
func (t *Table[K, V]) Hold(k K) {
	r, pending := t.pending[k]
	if !pending || r.hasDesired {
		return
	}
	t.unpend(k)
	if t.onHold == nil {
		t.onHold = make(map[K]row[V])
	}
	t.onHold[k] = r
}

// Release ends a Hold.
func (t *Table[K, V]) Release(k K) {
	if r, onHold := t.onHold[k]; onHold {
		t.unhold(k)
		t.pend(k, r)
	}
}

func (t *Table[K, V]) unhold(k K) {
	if delete(t.onHold, k); len(t.onHold) == 0 {
		t.onHold = nil
	}
}

// ReplaceActual makes the actual side equal to what a complete dump showed.
func (t *Table[K, V]) ReplaceActual(dump map[K]V) {
	t.gone = nil
	for k := range t.AllActual() {
		if _, seen := dump[k]; !seen {
			t.UnsetActual(k)
		}
	}
	for k, v := range dump {
		t.SetActual(k, v)
	}
}

// Sweep begins to compare the actual side with what is told of it piece by piece, by Saw, until Missed ends it. What is
// recorded meanwhile is newer than what is told.
func (t *Table[K, V]) Sweep() {
	t.sweep++
	t.gone = make(map[K]struct{})
}

// Saw records that a sweep saw k there, with value v, and reports whether another value was believed to be.
func (t *Table[K, V]) Saw(k K, v V) (drift bool) {
	before := t.row(k)
	if _, gone := t.gone[k]; gone || before.hasActual && before.swept == t.sweep {
		return false
	}
	t.SetActual(k, v)
	return before.hasActual && before.actual != v
}

// Missed ends a sweep and returns the keys that are believed to be there and were not seen.
func (t *Table[K, V]) Missed() (keys []K) {
	t.gone = nil
	for k, c := range t.settled {
		if c.swept != t.sweep {
			keys = append(keys, k)
		}
	}
	for k, r := range t.unsettled() {
		if r.hasActual && r.swept != t.sweep {
			keys = append(keys, k)
		}
	}
	return keys
}

// Desired returns the desired value of k.
func (t *Table[K, V]) Desired(k K) (V, bool) { r := t.row(k); return r.desired, r.hasDesired }

// Actual returns the actual value of k.
func (t *Table[K, V]) Actual(k K) (V, bool) { r := t.row(k); return r.actual, r.hasActual }

// Settled reports whether k is there just as desired, or is not there and not desired.
func (t *Table[K, V]) Settled(k K) bool { return t.row(k).settled() }

// Pending is the number of keys whose desired and actual values differ, those on hold included.
func (t *Table[K, V]) Pending() int { return len(t.pending) + len(t.onHold) }

// unsettled yields the keys whose desired and actual values differ. What is yielded may be changed meanwhile.
func (t *Table[K, V]) unsettled() iter.Seq2[K, row[V]] {
	return func(yield func(K, row[V]) bool) {
		for _, rows := range []map[K]row[V]{t.onHold, t.pending} {
			for k, r := range rows {
				if !yield(k, r) {
					return
				}
			}
		}
	}
}

// Upserts yields the keys that must be added or changed, with their desired values. The table may
// be changed while ranging; a key settled meanwhile may still be yielded.
func (t *Table[K, V]) Upserts() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, r := range t.pending {
			if r.hasDesired && !yield(k, r.desired) {
				return
			}
		}
	}
}

// Prunes yields the keys that are there and no longer desired, with their actual values, but for those on hold. The
// same freedom to change the table holds.
func (t *Table[K, V]) Prunes() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, r := range t.pending {
			if !r.hasDesired && !yield(k, r.actual) {
				return
			}
		}
	}
}

// Len is the number of keys that are desired or there.
func (t *Table[K, V]) Len() int { return len(t.settled) + t.Pending() }

// All yields every key that is desired or there. The table must not be changed meanwhile.
func (t *Table[K, V]) All() iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range t.settled {
			if !yield(k) {
				return
			}
		}
		for k := range t.unsettled() {
			if !yield(k) {
				return
			}
		}
	}
}

// AllActual yields every actual key and value. What is yielded may be taken from the actual side meanwhile.
func (t *Table[K, V]) AllActual() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, c := range t.settled {
			if !yield(k, c.value) {
				return
			}
		}
		for k, r := range t.unsettled() {
			if r.hasActual && !yield(k, r.actual) {
				return
			}
		}
	}
}

// Empty reports whether nothing is desired and nothing is there.
func (t *Table[K, V]) Empty() bool { return t.Len() == 0 }
