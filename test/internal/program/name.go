package program

import (
	"fmt"
	"os"
)

// Name is a program's name; it stands before everything that the program says, because the command
// that it runs writes to the same stderr.
type Name string

// Say tells the user what the program does, apart from the command's own output.
func (n Name) Say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, string(n)+": "+format+"\n", args...)
}
