package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/fairlead-lb/fairlead/test/bench/page"
	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// docsCommand makes docs/benchmarks.md and its figures out of a result file.
func docsCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench docs", flag.ContinueOnError)
	in := flags.String("in", "", "result `file`; the latest of docs/results if empty")
	pageFile := flags.String("page", "docs/benchmarks.md", "page to write between its markers")
	plot := flags.String("plot", "", "`program` that draws (test/tools/plot); no figures if empty")
	if err := parse(flags, args); err != nil {
		return err
	}
	file := *in
	if file == "" {
		files, err := filepath.Glob("docs/results/bench-*.json")
		if err != nil || len(files) == 0 {
			return errors.New("no docs/results/bench-*.json: run make bench first")
		}
		file = slices.Max(files) // dates sort
	}
	r, err := result.Read(file)
	if err != nil {
		return err
	}
	folder := filepath.Dir(*pageFile)
	link, err := filepath.Rel(folder, file)
	if err != nil {
		link = file
	}
	if err := updatePage(*pageFile, r, link); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is made of %s\n", *pageFile, file)
	if *plot == "" {
		return nil
	}
	return draw(ctx, *plot, filepath.Join(folder, "benchmarks"), r)
}

func updatePage(file string, r result.Result, link string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	updated, err := page.Update(string(text), r, link)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(updated), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// draw has the figures drawn into a folder.
func draw(ctx context.Context, plot, folder string, r result.Result) error {
	figures, err := json.Marshal(page.Figures(r))
	if err != nil {
		return fmt.Errorf("describe the figures: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of figures: %w", err)
	}
	cmd := exec.CommandContext(ctx, plot, folder)
	cmd.Stdin = bytes.NewReader(figures)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("draw the figures: %w: %s", err, text)
	}
	return nil
}
