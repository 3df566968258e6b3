package render

import "slices"

// few is a map of what is mostly few: keys are compared one by one, which costs less than a map does. Somebody may
// write very many: then there is an index.
type few[K comparable, V any] struct {
	pairs []pair[K, V]
	index map[K]int // nil as long as there are few
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

// manyKeys is from how many keys on there is an index.
const manyKeys = 9

// grow makes room for so many keys.
func (f *few[K, V]) grow(n int) { f.pairs = slices.Grow(f.pairs, n) }

// find returns where a key is, or -1.
func (f *few[K, V]) find(k K) int {
	if f.index != nil {
		if i, there := f.index[k]; there {
			return i
		}
		return -1
	}
	for i := range f.pairs {
		if f.pairs[i].key == k {
			return i
		}
	}
	return -1
}

func (f *few[K, V]) get(k K) (v V, there bool) {
	i := f.find(k)
	if i < 0 {
		return v, false
	}
	return f.pairs[i].value, true
}

// at returns where the value of a key is kept until the next key is added. One that is not there is added.
func (f *few[K, V]) at(k K) *V {
	i := f.find(k)
	if i < 0 {
		i = len(f.pairs)
		f.pairs = append(f.pairs, pair[K, V]{key: k})
		f.indexLast()
	}
	return &f.pairs[i].value
}

// indexLast puts the key that was added last into the index, and all when they have become many.
func (f *few[K, V]) indexLast() {
	switch last := len(f.pairs) - 1; {
	case f.index != nil:
		f.index[f.pairs[last].key] = last
	case len(f.pairs) >= manyKeys:
		f.index = make(map[K]int, 2*manyKeys)
		for i, p := range f.pairs {
			f.index[p.key] = i
		}
	}
}
