package render

import "testing"

func TestFewAreAsInAMap(t *testing.T) {
	var f few[int, string]
	if _, there := f.get(0); there {
		t.Error("an empty one has a key")
	}
	for n := range 3 * manyKeys {
		*f.at(n) = "first"
		*f.at(n) = string(rune('a' + n))
		for k := range 3 * manyKeys {
			got, there := f.get(k)
			if there != (k <= n) || there && got != string(rune('a'+k)) {
				t.Fatalf("after %d keys, key %d is %q, %v", n+1, k, got, there)
			}
		}
		if len(f.pairs) != n+1 {
			t.Fatalf("%d keys, want %d", len(f.pairs), n+1)
		}
	}
}
