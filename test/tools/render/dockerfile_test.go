package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// TestTheDockerfileIsOne reads the Dockerfile as docker does; there is no docker to build it here. Stages that
// others copy or mount from have to be there, and what runs in the end is the daemon.
func TestTheDockerfileIsOne(t *testing.T) {
	file, err := os.Open("../../../deploy/image/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tree, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Warnings) > 0 {
		t.Error(tree.Warnings)
	}
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{""}
	for _, stage := range stages {
		for _, command := range stage.Commands {
			from := ""
			switch c := command.(type) {
			case *instructions.CopyCommand:
				from = c.From
			case *instructions.RunCommand:
				for _, word := range strings.FieldsFunc(c.String(), func(r rune) bool { return r == ' ' || r == ',' }) {
					if name, ok := strings.CutPrefix(word, "from="); ok && !slices.Contains(names, name) {
						t.Errorf("%s mounts from %s, which is no stage before it", c, name)
					}
				}
			}
			if !slices.Contains(names, from) {
				t.Errorf("%s copies from %s, which is no stage before it", command, from)
			}
		}
		names = append(names, stage.Name)
	}
	last := stages[len(stages)-1]
	var said []string
	for _, command := range last.Commands {
		said = append(said, command.Name())
	}
	if last.BaseName != "base" || !slices.Equal(said, []string{"COPY", "USER", "ENTRYPOINT", "CMD"}) && !slices.Equal(said, []string{"copy", "user", "entrypoint", "cmd"}) {
		t.Errorf("the last stage is from %s and does %q", last.BaseName, said)
	}
	if entry := last.Commands[2].(*instructions.EntrypointCommand).CmdLine; !slices.Equal(entry, []string{"/usr/local/bin/fairlead"}) {
		t.Errorf("the image starts %q", entry)
	}
}
