package result

import (
	"path/filepath"
	"reflect"
	"slices"
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

func TestReplace(t *testing.T) {
	sample := func(row, subject string, services int, value float64) Sample {
		return Sample{Row: row, Subject: subject, Services: services, Metric: "m", Value: value}
	}
	r := Result{Samples: []Sample{sample("cold", "floor", 100, 1), sample("cold", "floor", 1000, 2), sample("cold", "floor", 100, 3)}}
	r.Replace([]Sample{sample("cold", "floor", 100, 4), sample("idle", "floor", 100, 5)})
	var got []float64
	for _, s := range r.Samples {
		got = append(got, s.Value)
	}
	if want := []float64{2, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("values %v, want %v", got, want)
	}
}
