package nlbatch

import (
	"errors"
	"fmt"
	"testing"
)

func TestWholeReadsAgainAfterAnInterruption(t *testing.T) {
	other := errors.New("other")
	interrupted := fmt.Errorf("list: %w", ErrInterrupted)
	for _, test := range []struct {
		name    string
		answers []error // of each reading; the last one repeats
		want    error
		reads   int
	}{
		{"at once", []error{nil}, nil, 1},
		{"at the third time", []error{interrupted, interrupted, nil}, nil, 3},
		{"another failure", []error{interrupted, other}, other, 2},
		{"never", []error{interrupted}, ErrInterrupted, readings},
	} {
		t.Run(test.name, func(t *testing.T) {
			reads := 0
			err := Whole(func() error {
				reads++
				return test.answers[min(reads, len(test.answers))-1]
			})
			if !errors.Is(err, test.want) || reads != test.reads {
				t.Errorf("%v after %d readings, want %v after %d", err, reads, test.want, test.reads)
			}
		})
	}
}
