package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/view"
)

// asker asks the daemon by its socket, and reads the kernel where no daemon answers.
type asker struct {
	socket string
	kernel func() (view.Source, error)
	stderr io.Writer
}

func newAsker(cmd *cobra.Command, socket string) asker {
	return asker{socket: socket, kernel: openKernelView, stderr: cmd.ErrOrStderr()}
}

// ask puts a question to the daemon, or else to the kernel, and says which one does not answer.
func ask[T any](a asker, question func(view.Source) (T, error)) (T, error) {
	answer, err := question(view.NewClient(a.socket))
	if !errors.Is(err, view.ErrNoDaemon) {
		return answer, err
	}
	kernel, kernelErr := a.kernel()
	if kernelErr != nil {
		return answer, fmt.Errorf("%w; nor can the kernel be read: %w", hint(err, a.socket), kernelErr)
	}
	fmt.Fprintln(a.stderr, "fairlead:", visible(hint(err, a.socket).Error()))
	return question(kernel)
}
