package source

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// file is what one file said when it was last good.
type file struct {
	sum       digest // of the content last read
	documents map[digest]document
	order     []digest
	good      bool   // there was such a time
	problem   string // at the last read
}

// read takes in one file and reports whether what it says has changed.
func (d *directory) read(name string) (changed bool) {
	path := filepath.Join(d.path, name)
	f := d.files[name]
	if f == nil {
		f = &file{}
		d.files[name] = f
	}
	data, err := readRegular(path)
	sum := digest(sha256.Sum256(data))
	if err == nil && sum == f.sum && f.good && f.problem == "" {
		return false
	}
	var documents map[digest]document
	var order []digest
	if err == nil {
		documents, order, err = parse(data, f.documents)
	}
	if err == nil && len(order) == 0 && f.objects() > 0 {
		err = errors.New("the file has become empty: delete it, or write a List without items, to withdraw what is in it")
	}
	if err != nil {
		if problem := err.Error(); problem != f.problem {
			f.problem = problem
			d.log.Error("bad manifest; what the file last said stays in force", "file", path, "err", err)
		}
		return false
	}
	for n, sum := range order {
		for _, kind := range documents[sum].ignored {
			d.log.Info(fmt.Sprintf("manifest: document %d: kind %s is ignored", n+1, kind), "file", path)
		}
	}
	if f.problem != "" {
		d.log.Info("the manifest is good again", "file", path)
	}
	*f = file{sum: sum, documents: documents, order: order, good: true}
	return true
}

// objects is the number of objects that the file last had. A file that loses them all at once is most
// likely being written: a redirection in a shell truncates the file long before its text comes.
func (f *file) objects() (n int) {
	for _, d := range f.documents {
		n += len(d.objects)
	}
	return n
}

// readRegular reads a file, but nothing that could block.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file", path)
	}
	return os.ReadFile(path)
}
