package sysctl

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

func TestAParameterIsChangedOnce(t *testing.T) {
	kerneltest.Namespace(t)
	const name = "net/ipv4/conf/lo/arp_ignore"
	for _, c := range []struct {
		value, before string
		changed       bool
	}{{"1", "0", true}, {"1", "1", false}, {"2", "1", true}} {
		before, changed, err := Ensure(name, c.value)
		if before != c.before || changed != c.changed || err != nil {
			t.Errorf("to %s: was %q, changed %v, %v; want %+v", c.value, before, changed, err, c)
		}
	}
	if before, changed, err := Ensure(name, "many"); err == nil || changed || before != "2" {
		t.Errorf("a bad value: was %q, changed %v, %v", before, changed, err)
	}
}

func TestANumberIsRaisedAndNeverLowered(t *testing.T) {
	kerneltest.Namespace(t)
	const name = "net/core/somaxconn"
	if _, _, err := Ensure(name, "1000"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		least   int64
		before  string
		changed bool
	}{{999, "1000", false}, {1000, "1000", false}, {1001, "1000", true}, {2, "1001", false}} {
		before, changed, err := Raise(name, c.least)
		if before != c.before || changed != c.changed || err != nil {
			t.Errorf("to %d: was %q, changed %v, %v; want %+v", c.least, before, changed, err, c)
		}
	}
}

func TestAParameterThatIsNotThereSaysSo(t *testing.T) {
	if _, changed, err := Ensure("net/ipv4/no_such_parameter", "1"); !errors.Is(err, fs.ErrNotExist) || changed {
		t.Errorf("changed %v, %v", changed, err)
	}
}
