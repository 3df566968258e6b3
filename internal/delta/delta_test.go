package delta

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPendingIsTheDifference(t *testing.T) {
	var tab Table[string, int]
	tab.Set("new", 1)
	tab.Set("same", 2)
	tab.SetActual("same", 2)
	tab.Set("changed", 3)
	tab.SetActual("changed", 4)
	tab.SetActual("stale", 5)

	if diff := cmp.Diff(map[string]int{"new": 1, "changed": 3}, maps.Collect(tab.Upserts())); diff != "" {
		t.Errorf("upserts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"stale": 5}, maps.Collect(tab.Prunes())); diff != "" {
		t.Errorf("prunes (-want +got):\n%s", diff)
	}
	tab.ReplaceActual(map[string]int{"new": 1, "changed": 3, "same": 2})
	if tab.Pending() != 0 {
		t.Errorf("pending after the dump equals the desired state: %d", tab.Pending())
	}
}

// TestAgainstModel compares the table, after random steps, with the difference computed from two
// plain maps.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab Table[int, int]
		desired, actual := map[int]int{}, map[int]int{}
		key, value := rapid.IntRange(0, 5), rapid.IntRange(0, 2)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) { k, v := key.Draw(t, "k"), value.Draw(t, "v"); tab.Set(k, v); desired[k] = v },
			"unset": func(t *rapid.T) {
				k := key.Draw(t, "k")
				tab.Unset(k)
				delete(desired, k)
			},
			"setActual": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), value.Draw(t, "v")
				tab.SetActual(k, v)
				actual[k] = v
			},
			"unsetActual": func(t *rapid.T) {
				k := key.Draw(t, "k")
				tab.UnsetActual(k)
				delete(actual, k)
			},
			"replace": func(t *rapid.T) {
				actual = rapid.MapOf(key, value).Draw(t, "dump")
				tab.ReplaceActual(actual)
				actual = maps.Clone(actual)
			},
			"": func(t *rapid.T) { compareWithModel(t, &tab, desired, actual) },
		})
	})
}

func compareWithModel(t *rapid.T, tab *Table[int, int], desired, actual map[int]int) {
	upserts, prunes := map[int]int{}, map[int]int{}
	for k, v := range desired {
		if a, ok := actual[k]; !ok || a != v {
			upserts[k] = v
		}
	}
	for k, v := range actual {
		if _, ok := desired[k]; !ok {
			prunes[k] = v
		}
	}
	for what, pair := range map[string][2]map[int]int{
		"upserts": {upserts, maps.Collect(tab.Upserts())},
		"prunes":  {prunes, maps.Collect(tab.Prunes())},
		"actual":  {actual, maps.Collect(tab.AllActual())},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Fatalf("%s (-model +table):\n%s", what, diff)
		}
	}
	if got, want := tab.Pending(), len(upserts)+len(prunes); got != want {
		t.Fatalf("pending %d, model %d", got, want)
	}
	if tab.Empty() != (len(desired)+len(actual) == 0) {
		t.Fatalf("empty: %v", tab.Empty())
	}
}

// TestThePendingKeysGetSmallAgain: to range over them costs as much as they once took.
func TestThePendingKeysGetSmallAgain(t *testing.T) {
	var tab Table[int, int]
	settle := func(keys, value int) {
		for k := range keys {
			tab.Set(k, value)
		}
		for k, v := range tab.Upserts() {
			tab.SetActual(k, v)
		}
	}
	settle(1000, 1)
	settle(1000, 2)
	if tab.pending == nil {
		t.Error("it is made anew for as many keys as before")
	}
	settle(1, 3)
	if tab.pending != nil {
		t.Error("it keeps its size")
	}
}
