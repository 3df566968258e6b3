package result

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestWriteRead(t *testing.T) {
	want := Result{
		Setup: Setup{Date: time.Unix(1_700_000_000, 0).UTC(), Kernel: "Linux", Versions: map[string]string{"etcd": "v3"}},
		Samples: []Sample{
			{Row: "cold", Subject: "floor", Services: 100, Metric: "last", Unit: "s", Value: 1.5},
			{Row: "cold", Subject: "x", Services: 100, Metric: "last", Unit: "s", Value: 2, More: true, Note: "3 of 4"},
		},
	}
	file := filepath.Join(t.TempDir(), "r.json")
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestQuantile(t *testing.T) {
	var v Values
	for _, n := range []float64{5, 1, 4, 2, 3} {
		v = append(v, Sample{Value: n})
	}
	if got, more, ok := v.Quantile(0.5); got != 3 || more || !ok {
		t.Errorf("the median of 1 to 5 is %v, %v, %v", got, more, ok)
	}
	if got, _, _ := v.Quantile(0.99); got != 5 {
		t.Errorf("the 99th percentile of 1 to 5 is %v", got)
	}
	v = append(v, Sample{Value: 0.5, More: true}) // gave up early, so it is the largest
	if got, more, _ := v.Quantile(0.99); got != 0.5 || !more {
		t.Errorf("with one that is more: %v, %v", got, more)
	}
	if _, _, ok := Values(nil).Quantile(0.5); ok {
		t.Error("nothing has a median")
	}
}
