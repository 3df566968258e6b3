// Package delta keeps what is wanted and what is there side by side, so that the work between
// them is never computed: it is already known.
package delta

import (
	"iter"
	"maps"
)

// Table holds, for each key, a desired and an actual value, and knows at every moment which keys
// differ. Setting a value costs O(1); finding the pending work costs O(pending), never O(table).
//
// The zero Table is ready to use. It is not safe for concurrent use: one goroutine owns it.
type Table[K, V comparable] struct {
	rows    map[K]row[V]
	pending map[K]struct{}
}

type row[V comparable] struct {
	desired, actual       V
	hasDesired, hasActual bool
}

func (r row[V]) settled() bool {
	return r.hasDesired == r.hasActual && r.desired == r.actual
}

// Set makes v the desired value of k.
func (t *Table[K, V]) Set(k K, v V) {
	r := t.rows[k]
	r.desired, r.hasDesired = v, true
	t.store(k, r)
}

// Unset makes k no longer desired.
func (t *Table[K, V]) Unset(k K) {
	r := t.rows[k]
	var zero V
	r.desired, r.hasDesired = zero, false
	t.store(k, r)
}

// SetActual records that k is there, with value v.
func (t *Table[K, V]) SetActual(k K, v V) {
	r := t.rows[k]
	r.actual, r.hasActual = v, true
	t.store(k, r)
}

// UnsetActual records that k is not there.
func (t *Table[K, V]) UnsetActual(k K) {
	r := t.rows[k]
	var zero V
	r.actual, r.hasActual = zero, false
	t.store(k, r)
}

// store keeps the row and its place among the pending keys. Empty maps are dropped: a Table per
// virtual server is common, and most have nothing pending.
func (t *Table[K, V]) store(k K, r row[V]) {
	if !r.hasDesired && !r.hasActual {
		delete(t.rows, k)
	} else {
		if t.rows == nil {
			t.rows = make(map[K]row[V])
		}
		t.rows[k] = r
	}
	if !r.settled() {
		if t.pending == nil {
			t.pending = make(map[K]struct{})
		}
		t.pending[k] = struct{}{}
		return
	}
	delete(t.pending, k)
	if len(t.pending) == 0 {
		t.pending = nil
	}
}

// ReplaceActual makes the actual side equal to what a complete dump showed.
func (t *Table[K, V]) ReplaceActual(dump map[K]V) {
	for k, r := range t.rows {
		if _, seen := dump[k]; r.hasActual && !seen {
			t.UnsetActual(k)
		}
	}
	for k, v := range dump {
		t.SetActual(k, v)
	}
}

// Desired returns the desired value of k.
func (t *Table[K, V]) Desired(k K) (V, bool) { r := t.rows[k]; return r.desired, r.hasDesired }

// Actual returns the actual value of k.
func (t *Table[K, V]) Actual(k K) (V, bool) { r := t.rows[k]; return r.actual, r.hasActual }

// Pending is the number of keys whose desired and actual values differ.
func (t *Table[K, V]) Pending() int { return len(t.pending) }

// Upserts yields the keys that must be added or changed, with their desired values. The table may
// be changed while ranging; a key settled meanwhile may still be yielded.
func (t *Table[K, V]) Upserts() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k := range t.pending {
			if r := t.rows[k]; r.hasDesired && !yield(k, r.desired) {
				return
			}
		}
	}
}

// Prunes yields the keys that are there and no longer desired, with their actual values. The
// same freedom to change the table holds.
func (t *Table[K, V]) Prunes() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k := range t.pending {
			if r := t.rows[k]; !r.hasDesired && !yield(k, r.actual) {
				return
			}
		}
	}
}

// Len is the number of keys that are desired or there.
func (t *Table[K, V]) Len() int { return len(t.rows) }

// All yields every key that is desired or there.
func (t *Table[K, V]) All() iter.Seq[K] { return maps.Keys(t.rows) }

// AllActual yields every actual key and value.
func (t *Table[K, V]) AllActual() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, r := range t.rows {
			if r.hasActual && !yield(k, r.actual) {
				return
			}
		}
	}
}

// Empty reports whether nothing is desired and nothing is there.
func (t *Table[K, V]) Empty() bool { return len(t.rows) == 0 }
