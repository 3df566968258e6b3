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
		var told map[int]int    // by a sweep
		onHold := map[int]int{} // what is there
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
				actual, told = maps.Clone(actual), nil // that ends a sweep
			},
			"sweep": func(t *rapid.T) {
				tab.Sweep()
				told = maps.Clone(actual)
			},
			"saw": func(t *rapid.T) { // perhaps what was true when the sweep began
				k := key.Draw(t, "k")
				if v, there := told[k]; there {
					_, believed := actual[k]
					if drift := tab.Saw(k, v); drift {
						t.Fatalf("%d is not as believed: %v", k, believed)
					}
				}
			},
			"hold": func(t *rapid.T) {
				k := key.Draw(t, "k")
				tab.Hold(k)
				_, wanted := desired[k]
				if v, there := actual[k]; there && !wanted {
					onHold[k] = v
				}
			},
			"release": func(t *rapid.T) {
				k := key.Draw(t, "k")
				tab.Release(k)
				delete(onHold, k)
			},
			"": func(t *rapid.T) {
				maps.DeleteFunc(onHold, func(k, v int) bool { // a change ends it
					_, wanted := desired[k]
					now, there := actual[k]
					return wanted || !there || now != v
				})
				compareWithModel(t, &tab, desired, actual, onHold)
			},
		})
	})
}

// TestASweepFindsWhatIsOther takes random steps while a sweep tells what was there when it began, all of it, before what it
// missed is taken off.
func TestASweepFindsWhatIsOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab Table[int, int]
		key, value := rapid.IntRange(0, 5), rapid.IntRange(0, 2)
		believed := rapid.MapOf(key, value).Draw(t, "believed")
		for k, v := range believed {
			tab.SetActual(k, v)
		}
		there := rapid.MapOf(key, value).Draw(t, "there")
		told := maps.Clone(there)
		tab.Sweep()
		drift, touched := 0, make(map[int]bool)
		for _, k := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5}).Draw(t, "order") {
			other := key.Draw(t, "other")
			switch rapid.IntRange(0, 3).Draw(t, "meanwhile") {
			case 0:
				v := value.Draw(t, "v")
				tab.SetActual(other, v)
				there[other], touched[other] = v, true
			case 1:
				tab.UnsetActual(other)
				delete(there, other)
				touched[other] = true
			}
			if v, ok := told[k]; ok && tab.Saw(k, v) {
				drift++
			}
		}
		for _, k := range tab.Missed() {
			drift++
			tab.UnsetActual(k)
		}
		most := 0
		for k, v := range believed {
			if now, ok := told[k]; !ok || now != v {
				most++
			}
		}
		for k := range touched { // what was not believed, and taken off, may still be told
			if _, ok := believed[k]; !ok {
				tab.UnsetActual(k)
				delete(there, k)
			}
		}
		if diff := cmp.Diff(there, maps.Collect(tab.AllActual())); diff != "" || drift > most {
			t.Fatalf("drift %d, at most %d is true (-there +table):\n%s", drift, most, diff)
		}
	})
}

func compareWithModel(t *rapid.T, tab *Table[int, int], desired, actual, onHold map[int]int) {
	upserts, prunes := map[int]int{}, map[int]int{}
	for k, v := range desired {
		if a, ok := actual[k]; !ok || a != v {
			upserts[k] = v
		}
	}
	for k, v := range actual {
		_, wanted := desired[k]
		if _, waits := onHold[k]; !wanted && !waits {
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
	if got, want := tab.Pending(), len(upserts)+len(prunes)+len(onHold); got != want {
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
