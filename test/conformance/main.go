package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	doc := flags.String("doc", "docs/conformance.md", "the `file` whose tables are filled")
	data := flags.String("json", "docs/results/conformance.json", "the `file` with all results")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := update(*doc, *data, flags.Args()); err != nil {
		fmt.Fprintln(stderr, "conformance:", err)
		return 1
	}
	return 0
}

// update reads the logs and rewrites both files.
func update(doc, data string, logs []string) error {
	r, err := load(data)
	if err != nil {
		return err
	}
	for _, path := range logs {
		proxy := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "conformance-"), ".log")
		if r[proxy], err = parseFile(path); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetIndent("", "\t")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(data, encoded.Bytes(), 0o644); err != nil {
		return err
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	filled := fill(string(text), r)
	if err := os.WriteFile(doc, []byte(filled), 0o644); err != nil {
		return err
	}
	if names := unknown(filled, r); len(names) > 0 {
		return fmt.Errorf("%s names tests without a result: %s", doc, strings.Join(names, ", "))
	}
	return nil
}

func load(data string) (results, error) {
	r := make(results)
	text, err := os.ReadFile(data)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", data, err)
	}
	return r, nil
}

func parseFile(path string) (map[string]outcome, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parse(file)
}
