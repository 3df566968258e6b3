package ipvs

import (
	"os"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// TestReadTotalsOfTheKernel reads what this kernel writes.
func TestReadTotalsOfTheKernel(t *testing.T) {
	kerneltest.Need(t)
	file, err := os.Open(TotalsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := ReadTotals(file); err != nil {
		t.Error(err)
	}
}
