// Command render prints the objects that deploy/ makes, as kubectl and helm would:
//
//	render kustomize FOLDER
//	render helm CHART [NAME=VALUE...]
//
// The values are those of helm's --set. It uses kustomize's and Helm's own libraries. `go test` here
// compares the two, and end-to-end tests give what it prints to a real API server.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	out, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
	fmt.Print(out)
}

func run(args []string) (string, error) {
	switch {
	case len(args) == 2 && args[0] == "kustomize":
		return kustomized(args[1])
	case len(args) >= 2 && args[0] == "helm":
		r, err := charted(args[1], args[2:]...)
		return r.manifests, err
	}
	return "", errors.New("usage: render kustomize FOLDER | render helm CHART [NAME=VALUE...]")
}
