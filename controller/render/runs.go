package render

import "sync"

// sortRuns sorts endpoints that come in few ascending runs, as of slices that are sorted each: it costs the logarithm of
// how many runs there are, not of how many endpoints. The slice is used up.
func sortRuns(list []located) []located {
	ends := runs(list)
	if ends == nil {
		return list
	}
	other := emptied(len(list))[:len(list)]
	for ; len(ends) > 1; list, other = other, list {
		ends = mergePairs(other, list, ends)
	}
	used.Put(&other)
	return list
}

// runs returns where each ascending run ends; nil where there is one.
func runs(list []located) (ends []int) {
	for i := 1; i < len(list); i++ {
		if order(&list[i-1], &list[i]) > 0 {
			ends = append(ends, i)
		}
	}
	if ends == nil {
		return nil
	}
	return append(ends, len(list))
}

// mergePairs merges each two runs that follow one another, and returns where the new ones end.
func mergePairs(into, from []located, ends []int) (merged []int) {
	begin := 0
	merged = ends[:0] // what has been read already
	for ; len(ends) > 1; ends = ends[2:] {
		middle, end := ends[0], ends[1]
		mergeTwo(into[begin:end], from[begin:middle], from[middle:end])
		begin = end
		merged = append(merged, end)
	}
	if len(ends) == 1 {
		copy(into[begin:], from[begin:])
		merged = append(merged, ends[0])
	}
	return merged
}

func mergeTwo(into, a, b []located) {
	for len(a) > 0 && len(b) > 0 {
		if order(&a[0], &b[0]) <= 0 {
			into[0], a = a[0], a[1:]
		} else {
			into[0], b = b[0], b[1:]
		}
		into = into[1:]
	}
	copy(into[copy(into, a):], b)
}

// order sorts by address, and of one address the better endpoint first.
func order(a, b *located) int {
	if c := a.at.Compare(b.at); c != 0 {
		return c
	}
	return b.compare(a.endpoint)
}

// used are slices that endpoints were merged in and can be again: of a Service that has thousands, they would be most
// of the garbage.
var used sync.Pool

// emptied returns an empty slice with room for n endpoints.
func emptied(n int) []located {
	if old, ok := used.Get().(*[]located); ok && cap(*old) >= n {
		return (*old)[:0]
	}
	return make([]located, 0, n)
}
